// The answer that gives a file of the archive.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/http/message.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/upstream/downloads.hpp"

#include <memory>
#include <optional>
#include <string_view>

namespace pkc::protocols::fetch {

/// How the bytes came to be here.
enum class Cached : bool {
  miss, ///< they were downloaded for this request
  hit,
};

/// 200, 206, 304, 412 or 416 of a file in the archive. Nothing when its bytes turned out to be
/// damaged: it is in quarantine, and a miss from now on. Errors: io.
Result<std::optional<http::Response>> answer_content(const http::Request& request,
                                                     store::Archive::Found found,
                                                     store::ContentAddressedStore& contents,
                                                     Cached cached);

/// 200 or 206 of a file that still arrives from `url`. Nothing when only the whole file can answer
/// the request. REQUIRES: the waiter has an answer of the origin.
std::optional<http::Response> answer_arriving(const http::Request& request,
                                              std::string_view url,
                                              std::shared_ptr<upstream::Waiter> waiter);

} // namespace pkc::protocols::fetch
