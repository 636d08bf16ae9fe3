#include "pkc/net/address_rules.hpp"

#include "pkc/base/url.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

namespace pkc::net {

namespace {

/// A row of the registries: the first one that contains an address says what it is.
struct Row {
  std::array<std::uint8_t, 16> prefix;
  unsigned prefix_length;
  AddressClass value;
};

// https://www.iana.org/assignments/iana-ipv4-special-registry, and the metadata services: AWS,
// Google, Azure and most others at 169.254.169.254, AWS ECS at .170.2 and EKS at .170.23, Azure's
// agent at 168.63.129.16, Alibaba at 100.100.100.200, Oracle at 192.0.0.192, Tencent at
// 169.254.0.23.
constexpr Row kRowsV4[] = {
    {{169, 254, 169, 254}, 32, AddressClass::metadata},
    {{169, 254, 169, 253}, 32, AddressClass::metadata},
    {{169, 254, 170, 2}, 32, AddressClass::metadata},
    {{169, 254, 170, 23}, 32, AddressClass::metadata},
    {{169, 254, 0, 23}, 32, AddressClass::metadata},
    {{168, 63, 129, 16}, 32, AddressClass::metadata},
    {{100, 100, 100, 200}, 32, AddressClass::metadata},
    {{192, 0, 0, 192}, 32, AddressClass::metadata},
    {{0}, 8, AddressClass::unspecified},
    {{10}, 8, AddressClass::private_use},
    {{100, 64}, 10, AddressClass::shared},
    {{127}, 8, AddressClass::loopback},
    {{169, 254}, 16, AddressClass::link_local},
    {{172, 16}, 12, AddressClass::private_use},
    {{192, 0, 0}, 24, AddressClass::reserved},
    {{192, 0, 2}, 24, AddressClass::documentation},
    {{192, 88, 99}, 24, AddressClass::reserved}, // 6to4 relays, given up by RFC 7526
    {{192, 168}, 16, AddressClass::private_use},
    {{198, 18}, 15, AddressClass::documentation},
    {{198, 51, 100}, 24, AddressClass::documentation},
    {{203, 0, 113}, 24, AddressClass::documentation},
    {{224}, 4, AddressClass::multicast},
    {{255, 255, 255, 255}, 32, AddressClass::broadcast},
    {{240}, 4, AddressClass::reserved},
};

// https://www.iana.org/assignments/iana-ipv6-special-registry; outside of 2000::/3 nothing is
// global.
constexpr Row kRowsV6[] = {
    // AWS, its EKS, Google, Oracle
    {{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54}, 128, AddressClass::metadata},
    {{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x23}, 128, AddressClass::metadata},
    {{0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0x54}, 128, AddressClass::metadata},
    {{0xfd, 0, 0x00, 0xc1, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe, 0xa9, 0xfe, 0xa9, 0xfe},
     128,
     AddressClass::metadata},
    {{}, 128, AddressClass::unspecified},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128, AddressClass::loopback},
    {{0xfc}, 7, AddressClass::private_use},
    {{0xfe, 0x80}, 10, AddressClass::link_local},
    {{0xfe, 0xc0}, 10, AddressClass::private_use},
    {{0xff}, 8, AddressClass::multicast},
    {{0x20, 0x01, 0x00, 0x02}, 48, AddressClass::documentation}, // benchmarks
    {{0x20, 0x01}, 23, AddressClass::reserved}, // IETF protocols: none of them is a server's
    {{0x20, 0x01, 0x0d, 0xb8}, 32, AddressClass::documentation},
    {{0x3f, 0xff}, 20, AddressClass::documentation},
    {{0x20}, 3, AddressClass::global},
    {{}, 0, AddressClass::reserved},
};

/// Prefixes with an IPv4 address behind them, which is where a packet may end up.
struct Carrier {
  std::size_t at; ///< first byte of the IPv4 address
  unsigned prefix_length;
  bool is_in_use;       ///< packets do get to that address; all other forms lead nowhere
  std::uint8_t flipped; ///< Teredo hides the address from translators that look for some
  std::array<std::uint8_t, 16> prefix;
};

constexpr Carrier kCarriers[] = {
    {12, 96, true, 0, {0, 0x64, 0xff, 0x9b}},                 // NAT64
    {2, 16, true, 0, {0x20, 0x02}},                           // 6to4
    {12, 32, false, 0xFF, {0x20, 0x01, 0, 0}},                // Teredo: of the client
    {12, 96, false, 0, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}}, // RFC 2765
    {12, 96, false, 0, {}},                                   // IPv4-compatible, see RFC 4291
};

AddressClass look_up(std::span<const Row> rows, const Address& address) {
  const auto row = std::ranges::find_if(rows, [&](const Row& candidate) {
    return shares_prefix(address.bytes(), candidate.prefix, candidate.prefix_length);
  });
  return row == rows.end() ? AddressClass::global : row->value;
}

/// The class of the IPv4 address in an IPv6 address; nothing when there is none.
std::optional<AddressClass> carried_class(const Address& address) {
  const auto* const carrier = std::ranges::find_if(kCarriers, [&](const Carrier& candidate) {
    return shares_prefix(address.bytes(), candidate.prefix, candidate.prefix_length);
  });
  if (carrier == std::end(kCarriers)) {
    return std::nullopt;
  }
  std::array<std::uint8_t, 4> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned byte = address.bytes().at(carrier->at + i);
    bytes.at(i) = static_cast<std::uint8_t>(byte ^ carrier->flipped);
  }
  const AddressClass value = look_up(kRowsV4, Address::make_v4(bytes));
  return value == AddressClass::global && !carrier->is_in_use ? AddressClass::reserved : value;
}

/// As it is compared: an IPv6 address that means an IPv4 address is that one.
Result<std::string> comparable(std::string_view host) {
  const auto address = parse_address(host);
  return address ? address->text() : normalise_host(host);
}

/// An entry of a list, in the form in which hosts are compared.
Result<std::string> parse_entry(const std::string& entry) {
  const bool is_suffix = entry.starts_with("*.");
  const std::string_view host = std::string_view(entry).substr(is_suffix ? 2 : 0);
  const auto normalised = comparable(host);
  if (!normalised || (is_suffix && parse_address(*normalised))) {
    return fail(Errc::invalid_argument,
                '"' + entry + R"(" is neither a host nor "*." with a domain behind it)");
  }
  return is_suffix ? "." + *normalised : *normalised;
}

Result<std::vector<std::string>> parse_entries(const std::vector<std::string>& entries) {
  std::vector<std::string> parsed;
  for (const std::string& entry : entries) {
    TRY_ASSIGN(std::string one, parse_entry(entry));
    parsed.push_back(std::move(one));
  }
  return parsed;
}

bool is_listed(const std::vector<std::string>& entries, std::string_view host) {
  return std::ranges::any_of(entries, [host](const std::string& entry) {
    return entry.starts_with('.') ? host.ends_with(entry) : host == entry;
  });
}

std::unexpected<Error> refuse(std::string message) {
  return fail(Errc::unauthorized, std::move(message));
}

} // namespace

std::string_view to_string(AddressClass value) {
  switch (value) {
    case AddressClass::global:
      return "global";
    case AddressClass::unspecified:
      return "unspecified";
    case AddressClass::loopback:
      return "loopback";
    case AddressClass::private_use:
      return "private";
    case AddressClass::link_local:
      return "link-local";
    case AddressClass::shared:
      return "shared";
    case AddressClass::multicast:
      return "multicast";
    case AddressClass::broadcast:
      return "broadcast";
    case AddressClass::documentation:
      return "documentation";
    case AddressClass::reserved:
      return "reserved";
    case AddressClass::metadata:
      return "metadata";
  }
  std::unreachable();
}

AddressClass class_of(const Address& address) {
  if (address.is_v4()) {
    return look_up(kRowsV4, address);
  }
  const AddressClass own = look_up(kRowsV6, address);
  if (own == AddressClass::loopback || own == AddressClass::unspecified) {
    return own; // ::1 and :: are in the IPv4-compatible range
  }
  return carried_class(address).value_or(own);
}

Result<AddressRules> AddressRules::make(const AddressRulesOptions& options) {
  AddressRules rules;
  TRY_ASSIGN(rules.hosts_allowed_, parse_entries(options.hosts_allowed));
  TRY_ASSIGN(rules.hosts_denied_, parse_entries(options.hosts_denied));
  for (const std::string& text : options.addresses_allowed) {
    TRY_ASSIGN(const AddressBlock block, parse_address_block(text));
    rules.addresses_allowed_.push_back(block);
  }
  return rules;
}

Result<void> AddressRules::check_host(std::string_view host) const {
  TRY_ASSIGN(const std::string name, comparable(host));
  if (is_listed(hosts_denied_, name)) {
    return refuse("the host is on the list of hosts that are not asked");
  }
  if (!hosts_allowed_.empty() && !is_listed(hosts_allowed_, name)) {
    return refuse("the host is not on the list of hosts that may be asked");
  }
  const auto address = parse_address(name);
  return address ? check_address(*address) : Result<void>{};
}

Result<void> AddressRules::check_address(const Address& address) const {
  const AddressClass value = class_of(address);
  if (value == AddressClass::global) {
    return {};
  }
  const bool allowed = std::ranges::any_of(addresses_allowed_, [&](const AddressBlock& block) {
    const bool names_it =
        block.first == address && block.prefix_length == (address.is_v4() ? 32 : 128);
    return value == AddressClass::metadata ? names_it : block.contains(address);
  });
  return allowed ? Result<void>{}
                 : refuse("the host has a " + std::string(to_string(value)) +
                          " address, which is not asked");
}

} // namespace pkc::net
