#include "pkc/net/proxy.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/codec.hpp"
#include "pkc/base/http_text.hpp"
#include "pkc/base/number.hpp"

#include <algorithm>
#include <utility>

namespace pkc::net {

namespace {

constexpr std::uint16_t kProxyPort = 1080;

std::optional<std::string> decode_percent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return std::nullopt;
    }
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

/// "host", "host:port", "[v6]:port", or a lone v6.
struct HostPort {
  std::string host;
  std::uint16_t port = 0; ///< 0: none
};

std::optional<HostPort> parse_host_port(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::size_t bracket = text.rfind(']');
  const bool lone_v6 = text.find(':') != colon && bracket == std::string_view::npos;
  const bool has_port = colon != std::string_view::npos && !lone_v6 &&
                        (bracket == std::string_view::npos || colon > bracket);
  HostPort result;
  if (has_port) {
    result.port = parse_number<std::uint16_t>(text.substr(colon + 1)).value_or(0);
    if (result.port == 0) {
      return std::nullopt;
    }
  }
  auto host = normalise_host(has_port ? text.substr(0, colon) : text);
  if (!host) {
    return std::nullopt;
  }
  result.host = std::move(*host);
  return result;
}

Result<std::optional<Proxy>> parse_proxy(std::string_view text, std::string_view name) {
  const auto wrong = [name](std::string_view why) {
    return fail(Errc::invalid_argument,
                std::string(name) + ": " + std::string(why) +
                    "; expected http://[user:password@]host[:port]");
  };
  std::string_view rest = trim_ows(text);
  if (rest.empty()) {
    return std::optional<Proxy>();
  }
  if (const std::size_t colon = rest.find("://"); colon != std::string_view::npos) {
    if (!equals_ignoring_case(rest.substr(0, colon), "http")) {
      return wrong("a proxy is spoken to in http only");
    }
    rest.remove_prefix(colon + 3);
  }
  rest = rest.ends_with('/') ? rest.substr(0, rest.size() - 1) : rest;
  Proxy proxy;
  if (const std::size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const auto credentials = decode_percent(rest.substr(0, at));
    if (!credentials) {
      return wrong("a % in the credentials has no two hex digits behind it");
    }
    const bool has_colon = credentials->find(':') != std::string::npos;
    proxy.authorization =
        "Basic " + encode_base64(as_bytes(has_colon ? *credentials : *credentials + ':'));
    rest.remove_prefix(at + 1);
  }
  auto place = parse_host_port(rest);
  if (!place) {
    return wrong("no host and port");
  }
  proxy.host = std::move(place->host);
  proxy.port = place->port == 0 ? kProxyPort : place->port;
  return std::optional(std::move(proxy));
}

bool is_loopback(const std::string& host) {
  const auto address = parse_address(host);
  const bool v4 = address && address->is_v4() && address->bytes().front() == 127;
  return v4 || host == "::1" || host == "localhost" || host.ends_with(".localhost");
}

} // namespace

Result<ProxyTable> ProxyTable::make(const ProxyOptions& options) {
  ProxyTable table;
  TRY_ASSIGN(table.http_, parse_proxy(options.http, "http_proxy"));
  TRY_ASSIGN(table.https_, parse_proxy(options.https, "https_proxy"));
  for (std::string_view list = options.none; !list.empty();) {
    const std::string_view entry = take_list_element(list);
    if (entry == "*") {
      table.never_ = true;
    } else if (!entry.empty()) {
      TRY_ASSIGN(Exception exception, parse_exception(entry));
      table.exceptions_.push_back(std::move(exception));
    }
  }
  return table;
}

Result<ProxyTable::Exception> ProxyTable::parse_exception(std::string_view entry) {
  Exception exception;
  if (const auto block = parse_address_block(entry)) {
    exception.block = *block;
    return exception;
  }
  std::string_view name = entry;
  name.remove_prefix(name.starts_with("*.") ? 2 : name.starts_with('.') ? 1 : 0);
  const auto place = parse_host_port(name);
  if (!place) {
    return fail(
        Errc::invalid_argument,
        "no_proxy: \"" + std::string(entry) + "\" is neither a host nor a block of addresses");
  }
  exception.port = place->port;
  if (const auto address = parse_address(place->host)) {
    exception.block =
        AddressBlock{.first = *address, .prefix_length = address->is_v4() ? 32U : 128U};
  } else {
    exception.suffix = place->host;
  }
  return exception;
}

bool ProxyTable::is_direct(const Url& url) const {
  const auto address = parse_address(url.host);
  return never_ || is_loopback(url.host) ||
         std::ranges::any_of(exceptions_, [&](const Exception& exception) {
           if (exception.port != 0 && exception.port != url.port) {
             return false;
           }
           return exception.block
                      ? address && exception.block->contains(*address)
                      : url.host == exception.suffix || url.host.ends_with('.' + exception.suffix);
         });
}

const Proxy* ProxyTable::find(const Url& url) const {
  const auto& proxy = url.scheme == UrlScheme::https ? https_ : http_;
  return proxy && !is_direct(url) ? &*proxy : nullptr;
}

} // namespace pkc::net
