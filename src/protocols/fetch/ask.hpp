// Ask: what a request to /fetch wants, taken from its query.
#pragma once

#include "pkc/base/checksum.hpp"
#include "pkc/base/url.hpp"

#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::protocols::fetch {

struct Ask {
  Url url;
  std::string text; ///< of the URL, as it is known everywhere
  std::vector<Checksum> wanted;
  bool refresh = false; ///< what is stored does not count
};

/// Why a query is refused; all of it may be shown.
struct WrongAsk {
  std::string error; ///< "missing_parameter" or "invalid_parameter"
  std::string parameter;
  std::string message;
};

/// Parses "url=https%3A%2F%2Fexample.org%2Fa.tar.gz&sha256=…&refresh=1". A "+" stands for itself:
/// no URL has a blank, and many have a plus that nobody encoded. Pure.
std::expected<Ask, WrongAsk> parse_ask(std::string_view query);

} // namespace pkc::protocols::fetch
