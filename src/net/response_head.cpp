#include "response_head.hpp"

#include "pkc/base/http_text.hpp"
#include "pkc/base/number.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace pkc::net {

namespace {

constexpr CharSet kDigits = CharSet("").with_range('0', '9');

std::unexpected<Error> broken(std::string_view what) {
  return fail(Errc::unavailable, "no HTTP answer: " + std::string(what));
}

/// The next line without its end.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

/// "HTTP/1.1 200 OK"; the reason may be missing.
Result<ParsedHead> parse_status_line(std::string_view line) {
  constexpr std::size_t kStatusAt = 9;
  constexpr std::size_t kStatusEnd = 12;
  constexpr int kStatusMin = 100;
  const bool is_http10 = line.starts_with("HTTP/1.0 ");
  const bool has_end =
      line.size() == kStatusEnd || (line.size() > kStatusEnd && line[kStatusEnd] == ' ');
  const std::string_view digits = has_end ? line.substr(kStatusAt, 3) : "";
  const int status = kDigits.has_all(digits) ? parse_number<int>(digits).value_or(0) : 0;
  if ((!is_http10 && !line.starts_with("HTTP/1.1 ")) || status < kStatusMin) {
    return broken("the status line");
  }
  return ParsedHead{.status = status, .is_http10 = is_http10, .headers = {}};
}

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

bool has_control(std::string_view text) {
  return std::ranges::any_of(text, is_control);
}

/// Of all fields of that name, as one list.
std::vector<std::string_view> elements_of(const HttpHeaders& headers, std::string_view name) {
  std::vector<std::string_view> elements;
  for (const auto& [field, value] : headers.fields()) {
    if (equals_ignoring_case(field, name)) {
      for (std::string_view list = value; !list.empty();) {
        elements.push_back(take_list_element(list));
      }
    }
  }
  return elements;
}

bool has_element(const HttpHeaders& headers, std::string_view name, std::string_view element) {
  return std::ranges::any_of(elements_of(headers, name), [element](std::string_view one) {
    return equals_ignoring_case(one, element);
  });
}

Result<std::optional<ByteCount>> content_length_of(const HttpHeaders& headers) {
  std::optional<ByteCount> length;
  bool has_field = false;
  for (const auto& [field, value] : headers.fields()) {
    has_field = has_field || equals_ignoring_case(field, "Content-Length");
  }
  // RFC 9110 section 8.6: the same number more than once is that number.
  for (const std::string_view text : elements_of(headers, "Content-Length")) {
    const auto number = parse_number<ByteCount>(text);
    if (!number || (length && *length != *number)) {
      return broken("the Content-Length");
    }
    length = number;
  }
  if (has_field && !length) {
    return broken("the Content-Length");
  }
  return length;
}

bool keeps_connection(const ParsedHead& head) {
  return !has_element(head.headers, "Connection", "close") &&
         (!head.is_http10 || has_element(head.headers, "Connection", "keep-alive"));
}

} // namespace

Result<ParsedHead> parse_head(std::string_view text, std::size_t header_count_max) {
  TRY_ASSIGN(ParsedHead head, parse_status_line(take_line(text)));
  std::vector<std::pair<std::string_view, std::string>> fields;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (line.empty()) {
      break;
    }
    if (has_control(line)) {
      return broken("a control character in a header");
    }
    if (line.front() == ' ' || line.front() == '\t') {
      if (fields.empty()) {
        return broken("a header that continues nothing");
      }
      fields.back().second.append(" ").append(trim_ows(line));
      continue;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      return broken("the name of a header");
    }
    if (fields.size() == header_count_max) {
      return broken("too many headers");
    }
    fields.emplace_back(line.substr(0, colon), trim_ows(line.substr(colon + 1)));
  }
  for (const auto& [name, value] : fields) {
    head.headers.add(name, trim_ows(value));
  }
  return head;
}

Result<Framing> framing_of(FetchMethod method, const ParsedHead& head) {
  constexpr int kNoContent = 204;
  constexpr int kNotModified = 304;
  const auto codings = elements_of(head.headers, "Transfer-Encoding");
  TRY_ASSIGN(const std::optional<ByteCount> length, content_length_of(head.headers));
  Framing framing{.announced = codings.empty() ? length : std::nullopt,
                  .keeps_connection = keeps_connection(head)};
  if (method == FetchMethod::head || head.status == kNoContent || head.status == kNotModified) {
    return framing;
  }
  if (head.headers.get("Transfer-Encoding")) {
    if (codings.size() != 1 || !equals_ignoring_case(codings.front(), "chunked")) {
      return broken("a transfer coding that was not asked for");
    }
    framing.end = BodyEnd::chunked;
    // RFC 9112 section 6.1: not a connection to trust with one more answer.
    framing.keeps_connection = framing.keeps_connection && !length && !head.is_http10;
  } else if (length) {
    framing.end = BodyEnd::length;
    framing.length = *length;
  } else {
    framing.end = BodyEnd::close;
    framing.keeps_connection = false;
  }
  return framing;
}

std::optional<std::string_view> redirect_target(const ParsedHead& head) {
  switch (head.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
      return head.headers.get("Location");
    default:
      return std::nullopt;
  }
}

} // namespace pkc::net
