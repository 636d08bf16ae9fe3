// AddressRules: which hosts and addresses outgoing requests of others may reach.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/net/address.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::net {

/// What an address is for. Only `global` is reached without permission.
enum class AddressClass : std::uint8_t {
  global,
  unspecified,   ///< 0.0.0.0/8, ::
  loopback,      ///< 127.0.0.0/8, ::1
  private_use,   ///< RFC 1918, fc00::/7, fec0::/10
  link_local,    ///< 169.254.0.0/16, fe80::/10
  shared,        ///< 100.64.0.0/10: carrier-grade NAT
  multicast,     ///< 224.0.0.0/4, ff00::/8
  broadcast,     ///< 255.255.255.255
  documentation, ///< and benchmarks: RFC 5737, RFC 2544, RFC 3849, RFC 9637
  reserved,      ///< all else that IANA's special-purpose registries do not call global
  metadata       ///< where clouds give instances their credentials
};

std::string_view to_string(AddressClass value);

/// The class of an address. One that carries an IPv4 address (NAT64, 6to4, Teredo, IPv4-compatible)
/// has the class of that one unless it is global itself. Source: the IANA special-purpose address
/// registries of IPv4 and IPv6, and the clouds' manuals for `metadata`. Pure.
AddressClass class_of(const Address& address);

struct AddressRulesOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  /// Hosts that may be asked, or all when there are none: "host", "*.suffix" (names below it, not
  /// the suffix itself), or a numeric address.
  std::vector<std::string> hosts_allowed{};
  /// Hosts that may not, also when they are allowed above.
  std::vector<std::string> hosts_denied{};
  /// Addresses that may be reached although they are not global: "10.1.0.0/16", "fd00::1". A
  /// metadata address has to be named itself; a block around it does not allow it.
  std::vector<std::string> addresses_allowed{};
  // NOLINTEND(readability-redundant-member-init)
};

/// Immutable, thread-safe. Copies are cheap enough for options.
class AddressRules {
 public:
  /// Every host, and global addresses only.
  AddressRules() = default;
  /// Errors: invalid_argument, with the entry that is wrong.
  static Result<AddressRules> make(const AddressRulesOptions& options);

  /// By name alone; a numeric host is judged as its address, too. Has to be asked for every hop.
  /// Errors: unauthorized, with a message that may be shown; invalid_argument when it is no host.
  [[nodiscard]] Result<void> check_host(std::string_view host) const;

  /// Errors: unauthorized, with a message that names the class and not the address, which may be
  /// internal knowledge.
  [[nodiscard]] Result<void> check_address(const Address& address) const;

 private:
  /// Normalised; a suffix begins with a dot.
  std::vector<std::string> hosts_allowed_;
  std::vector<std::string> hosts_denied_;
  std::vector<AddressBlock> addresses_allowed_;
};

} // namespace pkc::net
