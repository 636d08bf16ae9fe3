// What frames of zstd begin with (RFC 8878 section 3.1).
#pragma once

#include "pkc/base/bytes.hpp"

#include <cstddef>
#include <cstdint>

namespace pkc::zstd {

inline constexpr std::uint32_t kFrameMagic = 0xFD2FB528;
inline constexpr std::uint32_t kSkippableMagic = 0x184D2A50;
inline constexpr std::uint32_t kSkippableMask = 0xFFFFFFF0;
inline constexpr std::size_t kMagicSize = 4;
inline constexpr std::size_t kSkippableHeaderSize = 8;

inline constexpr std::size_t kBlockHeaderSize = 3;
inline constexpr std::size_t kBlockSizeMax = 128 * kKiB;

/// A little-endian number of up to 8 bytes.
inline std::uint64_t read_number(ByteSpan bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    value = value << 8U | std::to_integer<std::uint64_t>(bytes[i - 1]);
  }
  return value;
}

/// The reverse, into all of `bytes`.
inline void write_number(std::uint64_t value, MutableByteSpan bytes) {
  for (std::byte& byte : bytes) {
    byte = static_cast<std::byte>(value & 0xFFU);
    value >>= 8U;
  }
}

} // namespace pkc::zstd
