// The chunked coding of base, which bodies of requests are decoded with.
#pragma once

#include "pkc/base/http_chunked.hpp" // IWYU pragma: export

namespace pkc::http {

using pkc::ChunkedDecoder;

} // namespace pkc::http
