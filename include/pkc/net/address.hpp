// Address and AddressBlock: IP addresses as values.
#pragma once

#include "pkc/base/result.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::net {

/// An IPv4 or IPv6 address. An IPv4 address that is mapped into IPv6 (::ffff:a.b.c.d) is never kept
/// as such: make_v6() turns it into what it means.
class Address {
 public:
  /// 0.0.0.0
  Address() = default;
  static Address make_v4(const std::array<std::uint8_t, 4>& bytes);
  static Address make_v6(const std::array<std::uint8_t, 16>& bytes);

  [[nodiscard]] bool is_v4() const { return is_v4_; }
  /// In network order; of an IPv4 address the first four.
  [[nodiscard]] const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }
  /// "192.0.2.1", "2001:db8::1": no brackets.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const Address&, const Address&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool is_v4_ = true;
};

/// The address that a numeric host means, in every form of pkc::normalise_host(); nothing for a
/// name. Pure.
std::optional<Address> parse_address(std::string_view host);

/// True when the first `bits` bits of both are the same. Pure.
bool shares_prefix(const std::array<std::uint8_t, 16>& a,
                   const std::array<std::uint8_t, 16>& b,
                   unsigned bits);

/// All addresses with one prefix.
struct AddressBlock {
  Address first;
  unsigned prefix_length = 32; ///< bits

  /// An IPv4 block holds no IPv6 address and the other way round.
  [[nodiscard]] bool contains(const Address& address) const;
};

/// Parses "10.0.0.0/8", "fd00::/8" and a lone address, which is a block of one. Pure. Errors:
/// invalid_argument, also when bits behind the prefix are set: whoever writes 10.0.0.1/8 may have
/// meant something else.
Result<AddressBlock> parse_address_block(std::string_view text);

} // namespace pkc::net
