#include "admin/query.hpp"

#include "pkc/base/clock.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

namespace pkc::protocols::admin {

namespace {

/// Nothing for what is no hexadecimal digit.
std::optional<unsigned> hex_value(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c + ('a' - 'A')) : c;
  const std::size_t at = kDigits.find(lower);
  return at == std::string_view::npos ? std::nullopt : std::optional(static_cast<unsigned>(at));
}

std::unexpected<Error> wrong(std::string_view name, const std::string& problem) {
  return fail(Errc::invalid_argument, std::string(name) + ": " + problem);
}

} // namespace

std::optional<std::string> decode_query_text(std::string_view text) {
  std::string decoded;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      decoded += text[at] == '+' ? ' ' : text[at];
      continue;
    }
    const auto high = at + 2 < text.size() ? hex_value(text[at + 1]) : std::nullopt;
    const auto low = high ? hex_value(text[at + 2]) : std::nullopt;
    if (!low) {
      return std::nullopt;
    }
    decoded += static_cast<char>(*high * 16 + *low);
    at += 2;
  }
  return decoded;
}

Result<Query> Query::parse(std::string_view text) {
  Query query;
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(pair.size() + 1, text.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    auto name = decode_query_text(pair.substr(0, equals));
    auto value = decode_query_text(pair.substr(std::min(equals + 1, pair.size())));
    if (!name || !value) {
      return fail(Errc::invalid_argument, "the query has broken percent encoding");
    }
    if (!pair.empty() && !query.values_.try_emplace(*name, *std::move(value)).second) {
      return wrong(*name, "is given twice");
    }
  }
  return query;
}

std::optional<std::string> Query::take_text(std::string_view name) {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    return std::nullopt;
  }
  std::string value = std::move(found->second);
  values_.erase(found);
  return value.empty() ? std::nullopt : std::optional(std::move(value));
}

Result<std::optional<std::uint64_t>> Query::take_number(std::string_view name,
                                                        std::uint64_t min,
                                                        std::uint64_t max) {
  const auto text = take_text(name);
  if (!text) {
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, number);
  if (error != std::errc{} || rest != end || number < min || number > max) {
    return wrong(name, "takes a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

Result<std::optional<ByteCount>> Query::take_size(std::string_view name) {
  const auto text = take_text(name);
  if (!text) {
    return std::nullopt;
  }
  const auto size = parse_byte_count(*text);
  return size ? Result<std::optional<ByteCount>>(*size) : wrong(name, size.error().message);
}

Result<std::optional<std::chrono::milliseconds>> Query::take_duration(std::string_view name) {
  const auto text = take_text(name);
  if (!text) {
    return std::nullopt;
  }
  const auto duration = parse_duration(*text);
  if (!duration) {
    return wrong(name, duration.error().message);
  }
  // As long as anything can have been stored: a longer one would overflow when it is subtracted.
  return std::min<std::chrono::milliseconds>(*duration, std::chrono::years(1000));
}

Result<void> Query::finish() const {
  return values_.empty() ? Result<void>{}
                         : wrong(values_.begin()->first, "there is no such parameter");
}

} // namespace pkc::protocols::admin
