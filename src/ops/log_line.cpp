#include "log_line.hpp"

#include <algorithm>
#include <utility>

namespace pkc::ops {
namespace {

std::string_view level_label(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "TRACE";
    case LogLevel::debug:
      return "DEBUG";
    case LogLevel::info:
      return "INFO";
    case LogLevel::warn:
      return "WARN";
    case LogLevel::error:
      return "ERROR";
  }
  std::unreachable();
}

constexpr bool is_printable(char byte) {
  return byte >= 0x20 && byte <= 0x7e;
}

/// Bytes that stand for themselves in a value without quotes.
constexpr bool is_plain(char byte) {
  return is_printable(byte) && byte != ' ' && byte != '"' && byte != '=' && byte != '\\';
}

void append_byte_escaped(std::string& line, char byte) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  switch (byte) {
    case '"':
    case '\\':
      line += '\\';
      line += byte;
      return;
    case '\n':
      line += "\\n";
      return;
    case '\r':
      line += "\\r";
      return;
    case '\t':
      line += "\\t";
      return;
    default:
      break;
  }
  if (is_printable(byte)) {
    line += byte;
    return;
  }
  const auto value = static_cast<unsigned char>(byte);
  line += "\\x";
  line += kHexDigits[value >> 4U];
  line += kHexDigits[value & 0xfU];
}

void append_escaped(std::string& line, std::string_view text) {
  for (const char byte : text) {
    append_byte_escaped(line, byte);
  }
}

void append_value(std::string& line, std::string_view value) {
  if (!value.empty() && std::ranges::all_of(value, is_plain)) {
    line += value;
    return;
  }
  line += '"';
  append_escaped(line, value);
  line += '"';
}

} // namespace

std::string format_log_line(LogLevel level,
                            std::string_view message,
                            std::initializer_list<Field> fields,
                            std::string_view request) {
  std::string line;
  line.reserve(256); // an access log line; one allocation for nearly all of them
  line += level_label(level);
  line += ' ';
  append_escaped(line, message);
  for (const Field& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value());
  }
  if (!request.empty()) {
    line += " request_id=";
    append_value(line, request);
  }
  return line;
}

} // namespace pkc::ops
