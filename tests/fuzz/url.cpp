// Fuzz target: URLs from clients and references from Location headers. Lines of the input: a URL,
// then references to be followed one after the other.
#include "pkc/base/url.hpp"

#include "fuzz.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace {

std::string_view take_line(std::string_view& input) {
  const std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(input.size(), line.size() + 1));
  return line;
}

void examine(const pkc::Url& url) {
  using pkc::fuzz::require;
  const std::string text = url.text();
  require(!url.host.empty() && url.port != 0 && text.size() <= pkc::kUrlSizeMax);
  require(url.target.starts_with('/') && url.target.find('#') == std::string::npos);
  // Nothing may end a request line or a header.
  require(std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f' && c != '\\'; }));
  require(url.host.find_first_of("/?@[]%") == std::string::npos);
  // A second look sees the same.
  const auto again = pkc::parse_url(text);
  require(again && *again == url);
  const auto host = pkc::normalise_host(url.host);
  require(host && *host == url.host);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  auto url = pkc::parse_url(take_line(input));
  while (url) {
    examine(*url);
    if (input.empty()) {
      break;
    }
    url = pkc::resolve_reference(*url, take_line(input));
  }
  return 0;
}
