// Texts of unknown origin, made fit for a message on a terminal.
#pragma once

#include <string>
#include <string_view>

namespace pkc::config {

/// Without control bytes, and cut at eighty bytes.
std::string printable(std::string_view text);

/// What a parser has to say, which quotes the file: the same, cut at three hundred bytes.
std::string printable_message(std::string_view text);

/// The same in double quotes.
std::string quoted(std::string_view text);

} // namespace pkc::config
