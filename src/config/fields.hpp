// What fields of the table hold beyond the plain types: how such a text is read and judged.
#pragma once

#include "table.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkc::config {

// Errors of each check: invalid_argument, with a message that goes on from the quoted text.

/// "unix" for peers on a Unix socket, an IPv4 or IPv6 address, or a block of them in CIDR notation.
Result<void> check_proxy(std::string_view text);
/// An IPv4 or IPv6 address, or a block of them.
Result<void> check_address_block(std::string_view text);
/// An address, which only the resolver can judge, or the path of a Unix socket.
Result<void> check_bind(std::string_view text);
Result<void> check_metrics_bind(std::string_view text);
/// A name, a numeric address, or "*.example.org".
Result<void> check_host_pattern(std::string_view text);
/// "environment", "none", or the URL of a proxy.
Result<void> check_upstream_proxy(std::string_view text);

/// Permission bits, as chmod takes them; nothing when they are none.
std::optional<unsigned> parse_mode(std::string_view text);
Result<void> check_mode(std::string_view text);

/// The name of a space and its size: "polykit=10GiB".
Result<std::pair<std::string, ByteCount>> parse_space_size(std::string_view text);
Result<void> check_space_size(std::string_view text);

constexpr Field socket_mode_field() {
  Field field = text<&Settings::bind>("MODE");
  field.check = check_mode;
  field.set = [](Settings& settings, const Value& value) {
    settings.socket_mode = parse_mode(std::get<std::string>(value)).value_or(0);
  };
  field.get = [](const Settings& settings) {
    constexpr unsigned kDigits = 4;
    std::string mode;
    for (unsigned digit = kDigits; digit-- > 0;) {
      mode += static_cast<char>('0' + ((settings.socket_mode >> (3 * digit)) & 7U));
    }
    return Value(mode);
  };
  return field;
}

constexpr Field space_sizes_field() {
  Field field = list<&Settings::trusted_proxies>("LIST", check_space_size);
  field.set = [](Settings& settings, const Value& value) {
    settings.space_max_size.clear();
    for (const std::string& text : std::get<std::vector<std::string>>(value)) {
      if (auto parsed = parse_space_size(text)) {
        settings.space_max_size.insert_or_assign(std::move(parsed->first), parsed->second);
      }
    }
  };
  field.get = [](const Settings& settings) {
    std::vector<std::string> texts;
    for (const auto& [space, size] : settings.space_max_size) {
      texts.push_back(space + '=' + format_byte_count(size));
    }
    return Value(texts);
  };
  return field;
}

constexpr Field upstream_proxy_field() {
  Field field = text<&Settings::upstream_proxy>("PROXY");
  field.check = check_upstream_proxy;
  return field;
}

constexpr Field bind_field() {
  Field field = text<&Settings::bind>("ADDRESS");
  field.check = check_bind;
  return field;
}

constexpr Field metrics_bind_field() {
  Field field = optional_text<&Settings::metrics_bind>("ADDRESS");
  field.check = check_metrics_bind;
  return field;
}

} // namespace pkc::config
