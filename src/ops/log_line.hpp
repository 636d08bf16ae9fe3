// The text of one log line, without its time.
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
std::string format_log_line(LogLevel level,
                            std::string_view message,
                            std::initializer_list<Field> fields);

} // namespace pkc::ops
