#include "pkc/http/router.hpp"

#include "text.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/codec.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

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

/// More segments than any pattern has: such a path matches nothing.
constexpr std::size_t kSegmentsMax = 16;

/// Takes the next segment off a path that begins with "/".
std::string_view take_segment(std::string_view& path) {
  path.remove_prefix(1);
  const std::size_t slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path.remove_prefix(segment.size());
  return segment;
}

/// Whether every '%' is followed by two hex digits.
bool is_well_encoded(std::string_view text) {
  for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (at + 2 >= text.size() || hex_digit(text[at + 1]) < 0 || hex_digit(text[at + 2]) < 0) {
      return false;
    }
  }
  return true;
}

/// REQUIRES: is_well_encoded(text).
std::string percent_decode(std::string_view text) {
  return text.contains('%') ? decode_percent(text).value() : std::string(text);
}

bool equals_decoded(std::string_view encoded, std::string_view text) {
  return encoded.contains('%') ? percent_decode(encoded) == text : encoded == text;
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
  PKC_ASSERT(std::ranges::count(route.pattern, '/') <= std::ptrdiff_t{kSegmentsMax});
  Row row{route.method, {}, route.access, std::move(route.handler), route.protocol};
  std::string_view rest = route.pattern;
  while (rest.starts_with('/')) {
    const std::string_view segment = take_segment(rest);
    const bool placeholder = segment.starts_with('{') && segment.ends_with('}');
    row.segments.push_back({placeholder ? "" : std::string(segment), placeholder});
  }
  rows_.push_back(std::move(row));
}

std::vector<Endpoint> Router::endpoints() const {
  std::vector<Endpoint> all;
  const auto add_once = [&all](const Endpoint& endpoint) {
    if (!endpoint.protocol.empty() && std::ranges::find(all, endpoint) == all.end()) {
      all.push_back(endpoint);
    }
  };
  for (const Row& row : rows_) {
    add_once({row.protocol, row.method});
    if (row.method == Method::get) {
      add_once({row.protocol, Method::head});
    }
  }
  return all;
}

std::set<std::string> Router::spaces() const {
  std::set<std::string> spaces;
  for (const Row& row : rows_) {
    if (row.access.named_space() != kEverySpace) {
      spaces.emplace(row.access.named_space());
    }
  }
  return spaces;
}

bool Router::matches(const Row& row, std::span<const std::string_view> segments) {
  return std::ranges::equal(
      row.segments, segments, [](const Segment& pattern, std::string_view given) {
        return pattern.placeholder ? !given.empty() : equals_decoded(given, pattern.literal);
      });
}

/// The best row for the path, whatever its method may be: the first of the request's own method, a
/// GET row for HEAD. Null when no row has both.
const Router::Row* Router::find(Method method, std::span<const std::string_view> segments) const {
  const Row* found = nullptr;
  for (const Row& row : rows_) {
    if (row.method == method && matches(row, segments)) {
      return &row;
    }
    const bool stands_in = row.method == Method::get && method == Method::head;
    if (stands_in && found == nullptr && matches(row, segments)) {
      found = &row; // a HEAD row of its own, further down, would win
    }
  }
  return found;
}

Response Router::refuse(std::span<const std::string_view> segments) const {
  MethodList allowed;
  for (const Row& row : rows_) {
    if (matches(row, segments)) {
      allowed.add(row.method);
    }
  }
  if (allowed.text().empty()) {
    return make_error(404, "not found");
  }
  Response response = make_error(405, "method not allowed");
  response.headers.add("Allow", allowed.text());
  return response;
}

Response Router::dispatch(Request& request) const {
  if (request.path == "*") { // OPTIONS about the server as a whole
    MethodList allowed;
    std::ranges::for_each(rows_, [&](const Row& row) { allowed.add(row.method); });
    Response response = make_response(204);
    response.headers.add("Allow", allowed.text());
    return response;
  }
  if (!is_well_encoded(request.path)) {
    return make_error(400, "malformed percent-encoding in the path");
  }
  // Split first and decoded later, so that "%2F" is data.
  std::array<std::string_view, kSegmentsMax> room;
  std::size_t count = 0;
  std::string_view rest = request.path;
  while (rest.starts_with('/')) {
    if (count == room.size()) {
      return make_error(404, "not found");
    }
    room[count++] = take_segment(rest);
  }
  const std::span<const std::string_view> segments = std::span(room).first(count);
  const Row* found = find(request.method, segments);
  if (found == nullptr) {
    return refuse(segments);
  }
  for (std::size_t i = 0; i < segments.size(); ++i) {
    if (found->segments[i].placeholder) {
      request.parameters.push_back(percent_decode(segments[i]));
    }
  }
  request.protocol = found->protocol;
  return control_->serve(request, found->access, found->handler);
}

} // namespace pkc::http
