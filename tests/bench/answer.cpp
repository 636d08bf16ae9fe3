#include "bench/answer.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <system_error>

namespace pkc::bench {

namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kHeadEnd = "\r\n\r\n";
constexpr std::string_view kVersion = "HTTP/1.1 ";

char lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a')
                                              : character;
}

bool equals_ignoring_case(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) {
    return "";
  }
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  const char* const end = std::to_address(text.end());
  const auto [stop, error] = std::from_chars(std::to_address(text.begin()), end, number);
  if (error != std::errc{} || stop != end) {
    return std::nullopt;
  }
  return number;
}

} // namespace

Result<std::optional<AnswerHead>> parse_answer_head(std::string_view bytes) {
  const std::size_t end = bytes.find(kHeadEnd);
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  AnswerHead head;
  head.head_size = end + kHeadEnd.size();
  std::string_view lines = bytes.substr(0, end + kLineEnd.size());
  const auto status = lines.starts_with(kVersion)
                          ? parse_number<int>(lines.substr(kVersion.size(), 3))
                          : std::nullopt;
  if (!status) {
    return fail(Errc::invalid_argument, "not an HTTP/1.1 status line");
  }
  head.status = *status;
  bool has_length = false;
  for (lines.remove_prefix(lines.find(kLineEnd) + 2); !lines.empty();
       lines.remove_prefix(lines.find(kLineEnd) + 2)) {
    const std::string_view line = lines.substr(0, lines.find(kLineEnd));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      return fail(Errc::invalid_argument, "a header line without a colon");
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equals_ignoring_case(name, "connection")) {
      head.close = equals_ignoring_case(value, "close");
    } else if (equals_ignoring_case(name, "content-length")) {
      const auto length = parse_number<ByteCount>(value);
      if (!length) {
        return fail(Errc::invalid_argument, "a Content-Length that is no number");
      }
      head.content_length = *length;
      has_length = true;
    }
  }
  if (!has_length) {
    return fail(Errc::invalid_argument,
                "status " + std::to_string(head.status) + " without Content-Length");
  }
  return head;
}

} // namespace pkc::bench
