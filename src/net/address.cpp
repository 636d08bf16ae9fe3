#include "pkc/net/address.hpp"

#include "pkc/base/number.hpp"
#include "pkc/base/url.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>

namespace pkc::net {

namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr unsigned kBitsV4 = 32;
constexpr unsigned kBitsV6 = 128;

} // namespace

bool shares_prefix(const std::array<std::uint8_t, 16>& a,
                   const std::array<std::uint8_t, 16>& b,
                   unsigned bits) {
  for (unsigned i = 0; i < a.size() && bits > 8 * i; ++i) {
    const unsigned used = std::min(8U, bits - 8 * i);
    const unsigned mask = 0xFFU << (8 - used) & 0xFFU;
    if (((a.at(i) ^ b.at(i)) & mask) != 0) {
      return false;
    }
  }
  return true;
}

Address Address::make_v4(const std::array<std::uint8_t, 4>& bytes) {
  Address address;
  std::ranges::copy(bytes, address.bytes_.begin());
  return address;
}

Address Address::make_v6(const std::array<std::uint8_t, 16>& bytes) {
  Address address;
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin())) {
    std::copy(bytes.begin() + kMappedPrefix.size(), bytes.end(), address.bytes_.begin());
    return address;
  }
  address.bytes_ = bytes;
  address.is_v4_ = false;
  return address;
}

std::string Address::text() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(is_v4_ ? AF_INET : AF_INET6, bytes_.data(), text.data(), text.size());
  return text.data();
}

std::optional<Address> parse_address(std::string_view host) {
  const auto normalised = normalise_host(host);
  if (!normalised) {
    return std::nullopt;
  }
  if (normalised->find(':') != std::string::npos) {
    std::array<std::uint8_t, 16> bytes{};
    return ::inet_pton(AF_INET6, normalised->c_str(), bytes.data()) == 1
               ? std::optional(Address::make_v6(bytes))
               : std::nullopt;
  }
  const auto bytes = parse_ipv4_number(*normalised);
  return bytes ? std::optional(Address::make_v4(*bytes)) : std::nullopt;
}

bool AddressBlock::contains(const Address& address) const {
  return address.is_v4() == first.is_v4() &&
         shares_prefix(address.bytes(), first.bytes(), prefix_length);
}

Result<AddressBlock> parse_address_block(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return fail(Errc::invalid_argument,
                "\"" + std::string(text) + "\" is no block of addresses: " + std::string(why));
  };
  const std::size_t slash = text.find('/');
  const auto first = parse_address(text.substr(0, slash));
  if (!first) {
    return wrong("an address is missing, such as 10.0.0.0 or fd00::");
  }
  const unsigned bits = first->is_v4() ? kBitsV4 : kBitsV6;
  AddressBlock block{.first = *first, .prefix_length = bits};
  if (slash == std::string_view::npos) {
    return block;
  }
  block.prefix_length = parse_number<unsigned>(text.substr(slash + 1)).value_or(bits + 1);
  if (block.prefix_length > bits) {
    return wrong("the length of the prefix has to be a number from 0 to " + std::to_string(bits));
  }
  for (unsigned bit = block.prefix_length; bit < bits; ++bit) {
    if ((first->bytes().at(bit / 8) & (0x80U >> bit % 8)) != 0) {
      return wrong("bits are set behind its prefix");
    }
  }
  return block;
}

} // namespace pkc::net
