#include "pkc/http/message.hpp"

#include "text.hpp"

#include <algorithm>

namespace pkc::http {

std::optional<ByteCount> Response::body_length() const {
  if (const auto* text = std::get_if<std::string>(&body)) {
    return text->size();
  }
  if (const auto* file = std::get_if<FileBody>(&body)) {
    return file->length;
  }
  if (const auto* pieces = std::get_if<PiecesBody>(&body)) {
    return pieces->length;
  }
  return std::get<StreamBody>(body).length;
}

namespace {

void append_field_text(std::string& out, std::string_view text) {
  static constexpr CharSet kBreaks(std::string_view("\r\n\0", 3));
  const std::size_t start = out.size();
  out.append(text);
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start),
      out.end(),
      [](char c) { return kBreaks.has(c); },
      ' ');
}

} // namespace

void append_fields(std::string& out, const Headers& headers) {
  for (const auto& [name, value] : headers.fields()) {
    append_field_text(out, name);
    out += ": ";
    append_field_text(out, value);
    out += "\r\n";
  }
}

std::string format_fields(const Headers& headers) {
  std::string lines;
  append_fields(lines, headers);
  return lines;
}

Response make_response(int status) {
  Response response;
  response.status = status;
  return response;
}

namespace {

void append_json_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f') {
      const auto value = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kHex[value >> 4U];
      out += kHex[value & 0xFU];
    } else {
      out += c;
    }
  }
}

} // namespace

Response make_error(int status, std::string_view message) {
  Response response = make_response(status);
  response.headers.add("Content-Type", "application/json");
  std::string body = R"({"error":")";
  append_json_escaped(body, message);
  body += R"("})";
  response.body = std::move(body);
  return response;
}

} // namespace pkc::http
