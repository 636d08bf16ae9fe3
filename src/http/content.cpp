#include "pkc/http/content.hpp"

#include "text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace pkc::http {

namespace {

/// A decimal number; larger than 64 bits is the largest, since it only has to lie behind the end.
std::optional<ByteCount> parse_position(std::string_view text) {
  if (text.empty() || !CharSet("0123456789").has_all(text)) {
    return std::nullopt;
  }
  ByteCount value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? value : std::numeric_limits<ByteCount>::max();
}

enum class Comparison {
  weak,
  strong, ///< a weak tag equals nothing
};

/// Takes one entity tag off `list`, weak prefix removed; nothing when there is none or it is
/// malformed. Under strong comparison a weak one comes out empty.
std::optional<std::string_view> take_entity_tag(std::string_view& list, Comparison comparison) {
  while (!list.empty() && (list.front() == ',' || list.front() == ' ' || list.front() == '\t')) {
    list.remove_prefix(1);
  }
  const bool weak = list.starts_with("W/");
  if (weak) {
    list.remove_prefix(2);
  }
  // A comma may stand inside the quotes, so the list cannot be split at commas.
  const std::size_t close = list.starts_with('"') ? list.find('"', 1) : std::string_view::npos;
  if (close == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view tag = list.substr(0, close + 1);
  list.remove_prefix(close + 1);
  return weak && comparison == Comparison::strong ? std::string_view{} : tag;
}

bool any_tag_matches(std::string_view list, std::string_view etag, Comparison comparison) {
  if (trim_ows(list) == "*") {
    return true;
  }
  while (const auto tag = take_entity_tag(list, comparison)) {
    if (!tag->empty() && *tag == etag) {
      return true;
    }
  }
  return false;
}

/// Whether any field of that name lists the representation's tag; nothing when there is no such
/// field.
std::optional<bool> lists_tag(const Request& request,
                              std::string_view field,
                              const Representation& representation,
                              Comparison comparison) {
  std::optional<bool> listed;
  for (const auto& [name, value] : request.headers.fields()) {
    if (equals_ignoring_case(name, field)) {
      listed = listed.value_or(false) || any_tag_matches(value, representation.etag, comparison);
    }
  }
  return listed;
}

bool precondition_fails(const Request& request, const Representation& representation) {
  if (const auto listed = lists_tag(request, "If-Match", representation, Comparison::strong)) {
    return !*listed;
  }
  const auto unmodified = request.headers.get("If-Unmodified-Since");
  const auto date = unmodified ? parse_http_date(*unmodified) : std::nullopt;
  return date && representation.last_modified && *representation.last_modified > *date;
}

bool is_not_modified(const Request& request, const Representation& representation) {
  if (const auto listed = lists_tag(request, "If-None-Match", representation, Comparison::weak)) {
    return *listed;
  }
  if (!representation.last_modified) {
    return false;
  }
  const auto since = request.headers.get("If-Modified-Since");
  const auto date = since ? parse_http_date(*since) : std::nullopt;
  return date && *representation.last_modified <= *date;
}

/// RFC 9110 section 13.1.5: strong comparison, and a date only when it is exactly ours.
bool if_range_holds(const Request& request, const Representation& representation) {
  const auto validator = request.headers.get("If-Range");
  if (!validator) {
    return true;
  }
  if (validator->starts_with('"')) {
    return *validator == representation.etag;
  }
  const auto date = parse_http_date(*validator);
  return date && representation.last_modified && *date == *representation.last_modified;
}

/// 206 with the range, 416, or nothing when the header is to be ignored.
std::optional<ContentPlan> plan_range(std::string_view header, ByteCount size) {
  const std::size_t equals = header.find('=');
  if (equals == std::string_view::npos ||
      !equals_ignoring_case(header.substr(0, equals), "bytes")) {
    return std::nullopt;
  }
  const std::string_view spec = trim_ows(header.substr(equals + 1));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) {
    return std::nullopt;
  }
  const auto first = parse_position(spec.substr(0, dash));
  const auto last = parse_position(spec.substr(dash + 1));
  if ((dash > 0 && !first) || (dash + 1 < spec.size() && !last) || (!first && !last)) {
    return std::nullopt;
  }
  if (first && last && *last < *first) {
    return std::nullopt;
  }
  const ContentPlan unsatisfiable{416, {}};
  if (!first) { // the last N bytes
    if (*last == 0) {
      return unsatisfiable;
    }
    if (size == 0) {
      return std::nullopt; // satisfiable by the RFC, but no Content-Range can say so
    }
    const ByteCount length = std::min(*last, size);
    return ContentPlan{206, {size - length, length}};
  }
  if (*first >= size) {
    return unsatisfiable;
  }
  const ByteCount end = last && *last < size ? *last + 1 : size;
  return ContentPlan{206, {*first, end - *first}};
}

} // namespace

ContentPlan plan_content(const Request& request, const Representation& representation) {
  const ContentPlan whole{200, {0, representation.size}};
  if (request.method != Method::get && request.method != Method::head) {
    return whole;
  }
  if (precondition_fails(request, representation)) {
    return {412, {}};
  }
  if (is_not_modified(request, representation)) {
    return {304, {}};
  }
  const auto range = request.headers.get("Range");
  if (request.method != Method::get || !range || !if_range_holds(request, representation)) {
    return whole;
  }
  return plan_range(*range, representation.size).value_or(whole);
}

void apply_content_headers(Response& response,
                           const ContentPlan& plan,
                           const Representation& representation) {
  response.status = plan.status;
  if (!representation.etag.empty()) {
    response.headers.set("ETag", representation.etag);
  }
  if (representation.last_modified) {
    response.headers.set("Last-Modified", format_http_date(*representation.last_modified));
  }
  response.headers.set("Accept-Ranges", "bytes");
  const std::string size = std::to_string(representation.size);
  if (plan.status == 206) {
    response.headers.set("Content-Range",
                         "bytes " + std::to_string(plan.range.offset) + "-" +
                             std::to_string(plan.range.offset + plan.range.length - 1) + "/" +
                             size);
  } else if (plan.status == 416) {
    response.headers.set("Content-Range", "bytes */" + size);
  }
}

} // namespace pkc::http
