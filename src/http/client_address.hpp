// Who a request is from: the peer, or what trusted proxies say.
#pragma once

#include "pkc/base/result.hpp"

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {

/// The peer of a Unix socket: who it is, its file's permissions decide.
constexpr std::string_view kUnixPeer = "unix";

/// IPv4 is held as IPv4-mapped IPv6, so that one comparison serves both.
using AddressBytes = std::array<std::uint8_t, 16>;

/// The numeric text of a socket address; IPv4-mapped IPv6 comes out as IPv4. kUnixPeer for a Unix
/// socket, empty for a family that is none of these.
std::string format_address(const sockaddr_storage& address);

/// Whom the limits on one client take `address` for. Of IPv6 that is its network of 64 bits, the
/// least that one site gets (RFC 6177): whoever has one address of it has all of them. IPv4-mapped
/// IPv6 is IPv4; what is no address stays what it is.
std::string limited_client(std::string_view address);

/// Addresses whose X-Forwarded-For is believed. Immutable.
class TrustedProxies {
 public:
  /// Each entry is an IPv4 or IPv6 address, a CIDR block, or kUnixPeer. Errors: invalid_argument,
  /// naming the entry.
  static Result<TrustedProxies> parse(const std::vector<std::string>& entries);

  /// The client behind `peer`. `forwarded_for` are the values of the X-Forwarded-For fields in
  /// order. Each trusted hop vouches for the address it put at the right end, so they are read from
  /// the right to the first that is not a trusted proxy; an entry that is no address ends the walk
  /// at the last good one.
  [[nodiscard]] std::string client_address(std::string_view peer,
                                           std::span<const std::string_view> forwarded_for) const;

  [[nodiscard]] bool trusts(std::string_view address) const;

 private:
  struct Block {
    AddressBytes address{};
    unsigned prefix_bits = 0;
  };
  static Result<Block> parse_block(const std::string& entry);

  std::vector<Block> blocks_;
  bool unix_ = false;
};

} // namespace pkc::http
