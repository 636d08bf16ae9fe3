// The text of one log line, without its time, in either format.
#pragma once

#include "pkc/ops/log.hpp"

#include <initializer_list>
#include <string>
#include <string_view>

namespace pkc::ops {

/// `LEVEL message key=value key="quoted value"`. Pure.
///
/// Only printable ASCII leaves this function: every other byte is written as \n, \r, \t or \xNN,
/// and quotes and backslashes get a backslash in front, so that no input can begin a line of its
/// own or reach the operator's terminal as a control sequence.
///
/// A `request` that is not empty follows as request_id.
std::string format_log_line(LogLevel level,
                            std::string_view message,
                            std::initializer_list<Field> fields,
                            std::string_view request);

/// `"level":"info","msg":"…","key":"value","number":1}`: the rest of a JSON object whose
/// beginning is the caller's. Pure.
///
/// Always valid UTF-8 on one line: every byte of `message` and values that is not part of a
/// character becomes U+FFFD, and control characters are escaped. Keys are literals of ours and
/// written as they are.
std::string format_json_log_line(LogLevel level,
                                 std::string_view message,
                                 std::initializer_list<Field> fields,
                                 std::string_view request);

} // namespace pkc::ops
