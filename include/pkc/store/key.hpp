// Key: the only way from a string of a client to a place in the store.
#pragma once

#include "pkc/base/digest.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::store {

/// Names one object. Immutable. A Key holds 4 to 128 characters of [0-9A-Za-z], so it is safe in a
/// path; case counts.
class Key {
 public:
  /// Nothing when `id` is not 32 to 128 ASCII hex characters (spec/polykit.md rule 1). Two cases
  /// are two keys, as in the original server.
  [[nodiscard]] static std::optional<Key> parse_hex(std::string_view id);

  /// That of content with this digest: lower-case hex.
  [[nodiscard]] static Key of(const Sha256& digest) { return Key(digest.hex()); }

  [[nodiscard]] const std::string& id() const { return id_; }
  friend bool operator==(const Key&, const Key&) = default;

 private:
  explicit Key(std::string id) : id_(std::move(id)) {}
  std::string id_;
};

} // namespace pkc::store
