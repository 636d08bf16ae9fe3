// SHA-256: values, incremental hashing, hex.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/unique_handle.hpp"

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace pkc {

/// A SHA-256 value. Immutable, comparable; comparison is not constant-time: for digests that
/// secrets are checked against there is equal_in_constant_time().
struct Sha256 {
  std::array<std::byte, 32> bytes{};

  friend bool operator==(const Sha256&, const Sha256&) = default;

  /// 64 lower-case hex characters.
  [[nodiscard]] std::string hex() const;

  /// Exactly 64 hex characters of either case; nothing otherwise.
  [[nodiscard]] static std::optional<Sha256> from_hex(std::string_view text);
};

/// Incremental SHA-256 (OpenSSL). One thread at a time. Reusable: finish() starts over, which is
/// much cheaper than making a new one (DESIGN section 5: a fresh context per request costs a
/// millisecond of page faults).
class Sha256Hasher {
 public:
  Sha256Hasher();
  void update(ByteSpan bytes);
  /// The digest of everything since construction or the last finish().
  Sha256 finish();

 private:
  struct ContextTraits {
    using Type = evp_md_ctx_st*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  UniqueHandle<ContextTraits> context_;
};

/// The digest of one piece.
Sha256 sha256(ByteSpan bytes);

/// Takes as long for any two values of one size, wherever they differ. False for different sizes.
bool equal_in_constant_time(ByteSpan a, ByteSpan b);

/// Lower-case hex of any bytes.
std::string to_hex(ByteSpan bytes);

} // namespace pkc
