// Which proxy an outgoing request goes through.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/url.hpp"
#include "pkc/net/address.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::net {

/// What the variables http_proxy, https_proxy and no_proxy hold. This module reads no environment.
struct ProxyOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  /// For http URLs: "http://[user:password@]host[:port]" or "host:port"; empty: none.
  std::string http{};
  /// For https URLs, likewise.
  std::string https{};
  /// Hosts that are asked directly: "*", or names and blocks with commas between.
  std::string none{};
  // NOLINTEND(readability-redundant-member-init)
};

/// An HTTP proxy, spoken to in clear.
struct Proxy {
  std::string host;
  std::uint16_t port = 0;
  std::string authorization; ///< the value of Proxy-Authorization, a secret; empty: none is sent

  friend bool operator==(const Proxy&, const Proxy&) = default;
};

/// Immutable, thread-safe.
class ProxyTable {
 public:
  /// No proxy for anything.
  ProxyTable() = default;
  /// Errors: invalid_argument; the message shows no password. A port that is not named is 1080, as
  /// curl has it.
  static Result<ProxyTable> make(const ProxyOptions& options);

  /// The proxy for a URL, or null for a direct connection. Lives as long as the table. An entry
  /// "example.org" or ".example.org" of `none` means that name and all below it, with ":port" only
  /// that port; an address or a block ("10.0.0.0/8") means numeric hosts; loopback hosts and
  /// "localhost" are never asked of a proxy.
  [[nodiscard]] const Proxy* find(const Url& url) const;

 private:
  struct Exception {
    std::string suffix;                ///< a host
    std::optional<AddressBlock> block; ///< or addresses
    std::uint16_t port = 0;            ///< 0: all
  };
  static Result<Exception> parse_exception(std::string_view entry);
  [[nodiscard]] bool is_direct(const Url& url) const;

  std::optional<Proxy> http_;
  std::optional<Proxy> https_;
  std::vector<Exception> exceptions_;
  bool never_ = false;
};

} // namespace pkc::net
