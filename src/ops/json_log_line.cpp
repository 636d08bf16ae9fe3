#include "log_line.hpp"

#include <array>
#include <cstddef>
#include <utility>

namespace pkc::ops {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd"; // U+FFFD

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return "trace";
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warn:
      return "warn";
    case LogLevel::error:
      return "error";
  }
  std::unreachable();
}

/// A row of table 3-7 of the Unicode standard: which second bytes may follow a first byte. All
/// further bytes are 80 to BF.
struct Utf8Row {
  unsigned char first_min;
  unsigned char first_max;
  unsigned char second_min;
  unsigned char second_max;
  std::size_t length;
};

constexpr std::array kUtf8Rows = {Utf8Row{0xc2, 0xdf, 0x80, 0xbf, 2},
                                  Utf8Row{0xe0, 0xe0, 0xa0, 0xbf, 3},
                                  Utf8Row{0xe1, 0xec, 0x80, 0xbf, 3},
                                  Utf8Row{0xed, 0xed, 0x80, 0x9f, 3}, // no surrogates
                                  Utf8Row{0xee, 0xef, 0x80, 0xbf, 3},
                                  Utf8Row{0xf0, 0xf0, 0x90, 0xbf, 4},
                                  Utf8Row{0xf1, 0xf3, 0x80, 0xbf, 4},
                                  Utf8Row{0xf4, 0xf4, 0x80, 0x8f, 4}};

/// The length of the character of several bytes that `text` begins with; 0 when it is none.
std::size_t character_length(std::string_view text) {
  const auto byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  for (const Utf8Row& row : kUtf8Rows) {
    if (byte(0) < row.first_min || byte(0) > row.first_max) {
      continue;
    }
    if (text.size() < row.length || byte(1) < row.second_min || byte(1) > row.second_max) {
      return 0;
    }
    for (std::size_t i = 2; i < row.length; ++i) {
      if (byte(i) < 0x80 || byte(i) > 0xbf) {
        return 0;
      }
    }
    return row.length;
  }
  return 0;
}

void append_ascii(std::string& line, char c) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  constexpr char kDelete = 0x7f;
  if (c == '"' || c == '\\') {
    line += '\\';
    line += c;
  } else if (c == '\n') {
    line += "\\n";
  } else if (c >= ' ' && c != kDelete) {
    line += c;
  } else {
    const auto value = static_cast<unsigned char>(c);
    line += "\\u00";
    line += kHexDigits[value >> 4U];
    line += kHexDigits[value & 0xfU];
  }
}

void append_string(std::string& line, std::string_view text) {
  line += '"';
  while (!text.empty()) {
    const bool ascii = static_cast<unsigned char>(text.front()) < 0x80;
    const std::size_t length = ascii ? 1 : character_length(text);
    if (ascii) {
      append_ascii(line, text.front());
    } else {
      line += length == 0 ? kReplacement : text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  line += '"';
}

} // namespace

std::string format_json_log_line(LogLevel level,
                                 std::string_view message,
                                 std::initializer_list<Field> fields,
                                 std::string_view request) {
  std::string line;
  line.reserve(384); // an access log line; one allocation for nearly all of them
  line.append(R"("level":")").append(level_name(level)).append(R"(","msg":)");
  append_string(line, message);
  for (const Field& field : fields) {
    line.append(",\"").append(field.key).append("\":");
    if (field.is_number()) {
      line += field.value();
    } else {
      append_string(line, field.value());
    }
  }
  if (!request.empty()) {
    line += ",\"request_id\":";
    append_string(line, request);
  }
  line += '}';
  return line;
}

} // namespace pkc::ops
