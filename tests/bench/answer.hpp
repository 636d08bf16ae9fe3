// The head of an HTTP/1.1 answer, as much of it as a load generator needs.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <cstddef>
#include <optional>
#include <string_view>

namespace pkc::bench {

struct AnswerHead {
  int status = 0;
  ByteCount content_length = 0;
  bool close = false;        ///< the server will not take another request on this connection
  std::size_t head_size = 0; ///< bytes up to and including the blank line
};

/// Parses the head at the beginning of `bytes`; nothing when its blank line has not come yet.
/// Errors: invalid_argument for anything but HTTP/1.1 with a Content-Length (chunked bodies are
/// refused: no server under test sends one for an object).
Result<std::optional<AnswerHead>> parse_answer_head(std::string_view bytes);

} // namespace pkc::bench
