#include "client_address.hpp"

#include "text.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <ranges>

namespace pkc::http {

namespace {

constexpr std::array<std::uint8_t, 12> kMappedPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr unsigned kMappedBits = 96;
constexpr std::size_t kSiteBytes = 64 / 8;

/// The address of an X-Forwarded-For element, which some proxies write with a port.
std::string_view without_port(std::string_view element) {
  if (element.starts_with('[')) {
    const std::size_t close = element.find(']');
    return close == std::string_view::npos ? element : element.substr(1, close - 1);
  }
  const std::size_t colon = element.find(':');
  const bool one_colon = colon != std::string_view::npos && colon == element.rfind(':');
  return one_colon ? element.substr(0, colon) : element;
}

std::optional<AddressBytes> parse_address(const std::string& text) {
  AddressBytes bytes{};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) {
    return bytes;
  }
  std::ranges::copy(kMappedPrefix, bytes.begin());
  if (::inet_pton(AF_INET, text.c_str(), bytes.data() + kMappedPrefix.size()) == 1) {
    return bytes;
  }
  return std::nullopt;
}

std::string format_bytes(const AddressBytes& bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool mapped = std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes.begin());
  const char* const done =
      mapped ? ::inet_ntop(AF_INET, bytes.data() + kMappedPrefix.size(), text.data(), text.size())
             : ::inet_ntop(AF_INET6, bytes.data(), text.data(), text.size());
  return done == nullptr ? std::string{} : std::string{done}; // there is room for every address
}

} // namespace

std::string limited_client(std::string_view address) {
  std::string client(address);
  if (address.find(':') == std::string_view::npos) {
    return client;
  }
  auto bytes = parse_address(client);
  if (!bytes) {
    return client;
  }
  if (std::equal(kMappedPrefix.begin(), kMappedPrefix.end(), bytes->begin())) {
    return format_bytes(*bytes);
  }
  std::fill(bytes->begin() + kSiteBytes, bytes->end(), std::uint8_t{0});
  return format_bytes(*bytes) + "/64";
}

std::string format_address(const sockaddr_storage& address) {
  if (address.ss_family == AF_UNIX) {
    return std::string(kUnixPeer);
  }
  AddressBytes bytes{};
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof(v4));
    std::ranges::copy(kMappedPrefix, bytes.begin());
    std::memcpy(bytes.data() + kMappedPrefix.size(), &v4.sin_addr, sizeof(v4.sin_addr));
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof(v6));
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  } else {
    return {};
  }
  return format_bytes(bytes);
}

Result<TrustedProxies::Block> TrustedProxies::parse_block(const std::string& entry) {
  const std::size_t slash = entry.find('/');
  const std::string address = entry.substr(0, slash);
  const auto bytes = parse_address(address);
  const bool is_v6 = address.find(':') != std::string::npos;
  const unsigned bits_max = is_v6 ? 128 : 32;
  unsigned bits = bits_max;
  bool sound = bytes.has_value();
  if (sound && slash != std::string::npos) {
    const char* first = entry.data() + slash + 1;
    const char* last = entry.data() + entry.size();
    const auto [end, error] = std::from_chars(first, last, bits);
    sound = error == std::errc{} && end == last && bits <= bits_max;
  }
  if (!sound) {
    return fail(Errc::invalid_argument,
                "trusted proxy \"" + entry + "\" is none of an address, a CIDR block and unix");
  }
  return Block{*bytes, is_v6 ? bits : bits + kMappedBits};
}

Result<TrustedProxies> TrustedProxies::parse(const std::vector<std::string>& entries) {
  TrustedProxies proxies;
  for (const std::string& entry : entries) {
    if (entry == kUnixPeer) {
      proxies.unix_ = true;
      continue;
    }
    TRY_ASSIGN(const Block block, parse_block(entry));
    proxies.blocks_.push_back(block);
  }
  return proxies;
}

bool TrustedProxies::trusts(std::string_view address) const {
  if (address == kUnixPeer) {
    return unix_;
  }
  const auto bytes = parse_address(std::string(address));
  return bytes && std::ranges::any_of(blocks_, [&](const Block& block) {
           const unsigned whole = block.prefix_bits / 8;
           const unsigned rest = block.prefix_bits % 8;
           const unsigned mask = (0xFF00U >> rest) & 0xFFU;
           return std::equal(bytes->begin(), bytes->begin() + whole, block.address.begin()) &&
                  (rest == 0 || ((*bytes)[whole] & mask) == (block.address[whole] & mask));
         });
}

std::string TrustedProxies::client_address(std::string_view peer,
                                           std::span<const std::string_view> forwarded_for) const {
  std::string client(peer);
  if (!trusts(client)) {
    return client;
  }
  std::vector<std::string_view> hops;
  for (std::string_view list : forwarded_for) {
    while (!list.empty()) {
      if (const std::string_view hop = take_list_element(list); !hop.empty()) {
        hops.push_back(without_port(hop));
      }
    }
  }
  for (const std::string_view hop : hops | std::views::reverse) {
    std::string address(hop);
    if (!parse_address(address)) {
      break;
    }
    client = std::move(address);
    if (!trusts(client)) {
      break;
    }
  }
  return client;
}

} // namespace pkc::http
