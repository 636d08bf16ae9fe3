// Texts of unknown origin, made fit for a message on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace pkc::config {

/// Without control bytes and at most some eighty bytes long.
std::string printable(std::string_view text);

/// The same in double quotes.
std::string quoted(std::string_view text);

} // namespace pkc::config
