// Views over bytes, and sizes as people write them.
#pragma once

#include "pkc/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace pkc {

/// A read-only view of bytes; valid as long as what it looks at.
using ByteSpan = std::span<const std::byte>;
/// A writable view of bytes.
using MutableByteSpan = std::span<std::byte>;
/// A number of bytes.
using ByteCount = std::uint64_t;

constexpr ByteCount kKiB = 1024;
constexpr ByteCount kMiB = 1024 * kKiB;
constexpr ByteCount kGiB = 1024 * kMiB;

/// The size of the fixed buffers that bodies stream through.
constexpr std::size_t kStreamBufferSize = 64 * kKiB;

inline ByteSpan as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Parses a size: a whole number, optionally followed by K, M, G, T (or Ki, Mi, Gi, Ti), optionally
/// followed by B. All units are powers of 1024, as `5G` and `5GiB` mean the same to every tool in
/// this field. Errors: invalid_argument for anything else, negative numbers and overflow.
Result<ByteCount> parse_byte_count(std::string_view text);

/// The shortest exact form: 5368709120 is "5GiB", 1500 is "1500".
std::string format_byte_count(ByteCount count);

} // namespace pkc
