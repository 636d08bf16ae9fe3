// The error bodies of /fetch.
#pragma once

#include "fetch/ask.hpp"

#include "pkc/base/checksum.hpp"
#include "pkc/base/result.hpp"
#include "pkc/http/message.hpp"
#include "pkc/upstream/downloads.hpp"

#include <string_view>

namespace pkc::protocols::fetch {

/// 400.
http::Response answer_wrong_ask(const WrongAsk& wrong);
/// 409.
http::Response answer_mismatch(const Ask& ask, const Checksum& expected, std::string_view actual);
/// 403, 413, 500, 502 or 503, with nothing in it that only an operator may know.
http::Response answer_failure(const Ask& ask, const upstream::Failure& failure);
/// 500 of a failure of ours: a class of it, never a path.
http::Response answer_internal(const Error& error);
/// 503 when too much goes on already.
http::Response answer_overloaded(const Ask& ask);
/// 404 of a HEAD.
http::Response answer_miss();

inline constexpr std::string_view kCacheStatus = "X-Cache-Status";

} // namespace pkc::protocols::fetch
