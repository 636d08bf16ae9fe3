// Conditional and range requests for one stored representation (RFC 9110 sections 13 and 14).
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/http/message.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace pkc::http {

/// What a validator header compares with.
struct Representation {
  ByteCount size = 0;
  std::string etag; ///< quoted, strong
  std::optional<WallTime> last_modified;
};

/// A byte range, already clipped to the representation: length >= 1.
struct ByteRange {
  ByteCount offset = 0;
  ByteCount length = 0;
};

/// How to answer a GET or HEAD of a representation: 200 with the whole, 206 with `range`, 304, 412
/// or 416, which have no content.
struct ContentPlan {
  int status = 200;
  ByteRange range;
};

/// Pure. If-Match (strong comparison), or else If-Unmodified-Since, can demand 412. If-None-Match
/// (weak comparison, "*", lists) beats If-Modified-Since; If-Range with another validator ignores
/// Range; a malformed Range, an unknown unit and more than one range are ignored (200, as RFC 9110
/// section 14.2 allows); a well-formed one outside the representation is 416. Range counts for GET
/// only.
ContentPlan plan_content(const Request& request, const Representation& representation);

/// Sets ETag, Last-Modified, Accept-Ranges and, by the plan, Content-Range on `response`, and its
/// status.
void apply_content_headers(Response& response,
                           const ContentPlan& plan,
                           const Representation& representation);

} // namespace pkc::http
