#include "admin/query.hpp"

#include "object/parameters.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/url.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

namespace pkc::protocols::admin {

namespace {

std::unexpected<Error> wrong(std::string_view name, const std::string& problem) {
  return fail(Errc::invalid_argument, std::string(name) + ": " + problem);
}

} // namespace

Result<Query> Query::parse(std::string_view text) {
  auto parameters = object::parse_parameters(text, object::Plus::is_blank);
  if (!parameters) {
    return wrong(parameters.error().name, parameters.error().message);
  }
  Query query;
  query.values_ = *std::move(parameters);
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

Result<bool> Query::take_descending() {
  const std::string order = take_text("order").value_or("asc");
  if (order != "asc" && order != "desc") {
    return wrong("order", "takes asc or desc");
  }
  return order == "desc";
}

Result<std::string> Query::take_cursor() {
  constexpr std::size_t kCursorSizeMax = kUrlSizeMax / 3 * 4 + 64; // one may hold a URL, in base64
  std::string cursor = take_text("cursor").value_or("");
  if (cursor.size() > kCursorSizeMax) {
    return wrong("cursor", "is not one of ours");
  }
  return cursor;
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
