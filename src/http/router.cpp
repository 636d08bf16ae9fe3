#include "pkc/http/router.hpp"

#include "text.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace pkc::http {

namespace {

constexpr std::array<std::pair<Method, std::string_view>, 7> kMethodNames{{
    {Method::get, "GET"},
    {Method::head, "HEAD"},
    {Method::put, "PUT"},
    {Method::post, "POST"},
    {Method::delete_, "DELETE"},
    {Method::options, "OPTIONS"},
    {Method::patch, "PATCH"},
}};

std::string_view name_of(Method method) {
  const auto* row =
      std::ranges::find(kMethodNames, method, &decltype(kMethodNames)::value_type::first);
  return row == kMethodNames.end() ? "" : row->second;
}

/// Takes the next segment off a path that begins with "/".
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path.remove_prefix(segment.size());
  return segment;
}

/// Nothing when a '%' is not followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return std::nullopt;
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

/// The decoded segments of a raw path. Decoding happens after splitting, so that "%2F" is data.
std::optional<std::vector<std::string>> decode_path(std::string_view path) {
  std::vector<std::string> segments;
  while (path.starts_with('/')) {
    auto segment = percent_decode(take_segment(path));
    if (!segment) {
      return std::nullopt;
    }
    segments.push_back(*std::move(segment));
  }
  return segments;
}

/// The methods of several rows, as a list for the Allow header, in the order they were added.
class MethodList {
 public:
  void add(Method method) {
    add(name_of(method));
    if (method == Method::get) {
      add(name_of(Method::head));
    }
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void add(std::string_view name) {
    if (std::ranges::find(names_, name) != names_.end()) {
      return;
    }
    names_.push_back(name);
    if (!text_.empty()) {
      text_ += ", ";
    }
    text_ += name;
  }
  std::vector<std::string_view> names_;
  std::string text_;
};

} // namespace

void Router::add(Route route) {
  PKC_ASSERT(route.pattern.starts_with('/') && route.handler != nullptr);
  PKC_ASSERT(route.method != Method::other);
  Row row{route.method, {}, std::move(route.handler)};
  std::string_view rest = route.pattern;
  while (rest.starts_with('/')) {
    const std::string_view segment = take_segment(rest);
    const bool placeholder = segment.starts_with('{') && segment.ends_with('}');
    row.segments.push_back({placeholder ? "" : std::string(segment), placeholder});
  }
  rows_.push_back(std::move(row));
}

bool Router::matches(const Row& row, const std::vector<std::string>& segments) {
  return std::ranges::equal(
      row.segments, segments, [](const Segment& pattern, const std::string& given) {
        return pattern.placeholder ? !given.empty() : pattern.literal == given;
      });
}

Response Router::dispatch(Request& request) const {
  MethodList allowed;
  if (request.path == "*") { // OPTIONS about the server as a whole
    std::ranges::for_each(rows_, [&](const Row& row) { allowed.add(row.method); });
    Response response = make_response(204);
    response.headers.add("Allow", allowed.text());
    return response;
  }
  auto segments = decode_path(request.path);
  if (!segments) {
    return make_error(400, "malformed percent-encoding in the path");
  }
  const Row* found = nullptr;
  for (const Row& row : rows_) {
    if (!matches(row, *segments)) {
      continue;
    }
    allowed.add(row.method);
    if (row.method == request.method) {
      found = &row;
      break;
    }
    if (row.method == Method::get && request.method == Method::head && found == nullptr) {
      found = &row; // a HEAD row of its own, further down, would win
    }
  }
  if (found == nullptr) {
    if (allowed.text().empty()) {
      return make_error(404, "not found");
    }
    Response response = make_error(405, "method not allowed");
    response.headers.add("Allow", allowed.text());
    return response;
  }
  for (std::size_t i = 0; i < segments->size(); ++i) {
    if (found->segments[i].placeholder) {
      request.parameters.push_back(std::move((*segments)[i]));
    }
  }
  return found->handler(request);
}

} // namespace pkc::http
