// Fuzz target: conditional and range requests. Lines of the input: size, method, then one header
// value each.
#include "fuzz.hpp"

#include "pkc/http/content.hpp"

#include <array>
#include <charconv>
#include <string>

namespace {

std::string_view take_line(std::string_view& input) {
  const std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(input.size(), line.size() + 1));
  return line;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  pkc::http::Representation representation{.etag = "\"0123\"", .last_modified = pkc::WallTime{}};
  const std::string_view number = take_line(input);
  std::from_chars(number.data(), number.data() + number.size(), representation.size);
  const std::string_view method = take_line(input);
  pkc::http::Request request;
  request.method = method == "HEAD"  ? pkc::http::Method::head
                   : method == "PUT" ? pkc::http::Method::put
                                     : pkc::http::Method::get;
  constexpr std::array<std::string_view, 4> kNames{
      "Range", "If-Range", "If-None-Match", "If-Modified-Since"};
  for (const std::string_view name : kNames) {
    if (const std::string_view value = take_line(input); !value.empty()) {
      request.headers.add(name, value);
    }
  }

  const auto plan = pkc::http::plan_content(request, representation);
  pkc::http::Response response;
  pkc::http::apply_content_headers(response, plan, representation);

  pkc::fuzz::require(response.status == plan.status);
  switch (plan.status) {
    case 200:
      pkc::fuzz::require(plan.range.offset == 0 && plan.range.length == representation.size);
      break;
    case 206:
      pkc::fuzz::require(request.method == pkc::http::Method::get && request.headers.get("Range"));
      pkc::fuzz::require(plan.range.length >= 1 && plan.range.offset < representation.size);
      pkc::fuzz::require(plan.range.length <= representation.size - plan.range.offset);
      break;
    case 304:
      pkc::fuzz::require(request.method != pkc::http::Method::put);
      break;
    default:
      pkc::fuzz::require(plan.status == 416 && request.headers.get("Range"));
      break;
  }
  return 0;
}
