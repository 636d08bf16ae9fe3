#include "pkc/base/background_sha256.hpp"
#include "pkc/base/processors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

using pkc::BackgroundSha256;
using pkc::ByteSpan;
using pkc::kKiB;
using pkc::sha256;

namespace {

constexpr std::size_t kInlineMax = 1 * kKiB;
constexpr std::size_t kPiece = 128 * kKiB; // as it is handed over

/// Bytes without a period that fits into a piece.
std::vector<std::byte> content(std::size_t size) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

void update_in_steps(BackgroundSha256& hasher, ByteSpan bytes, std::size_t step) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(step, bytes.size());
    hasher.update(bytes.first(count));
    bytes = bytes.subspan(count);
  }
}

} // namespace

TEST_SUITE("base::BackgroundSha256") {
  TEST_CASE("finish: the digest is that of the whole, however long it is and however it comes") {
    BackgroundSha256 hasher(kInlineMax);
    for (const std::size_t size : {std::size_t{0},
                                   std::size_t{1},
                                   kInlineMax,
                                   kInlineMax + 1,
                                   kInlineMax + kPiece - 1,
                                   kInlineMax + kPiece,
                                   kInlineMax + kPiece + 1,
                                   4 * kPiece,
                                   40 * kPiece + 12'345}) {
      const auto bytes = content(size);
      for (const std::size_t step : {std::size_t{1000}, kPiece, 3 * kPiece + 1, 64 * kPiece}) {
        CAPTURE(size);
        CAPTURE(step);
        update_in_steps(hasher, bytes, step);
        CHECK(hasher.finish() == sha256(bytes)); // and the same hasher starts over
      }
    }
  }

  TEST_CASE("update: only a long stream takes a thread, and gives it back") {
    const bool can = pkc::usable_cores() > 1;
    BackgroundSha256 hasher(kInlineMax);
    hasher.update(content(kInlineMax));
    CHECK_FALSE(hasher.in_background());
    hasher.update(content(1));
    CHECK(hasher.in_background() == can);
    [[maybe_unused]] const auto digest = hasher.finish();
    CHECK_FALSE(hasher.in_background());
    hasher.update(content(kInlineMax));
    CHECK_FALSE(hasher.in_background());
  }

  TEST_CASE("update: whoever wants no thread gets none") {
    BackgroundSha256 hasher(BackgroundSha256::kAlwaysInline);
    const auto bytes = content(2 * BackgroundSha256::kInlineMax);
    hasher.update(bytes);
    CHECK_FALSE(hasher.in_background());
    CHECK(hasher.finish() == sha256(bytes));
  }

  TEST_CASE("destructor: a stream that nobody ends leaves no thread behind") {
    const auto bytes = content(8 * kPiece + 1);
    std::optional<BackgroundSha256> hasher;
    for (int i = 0; i < 20; ++i) {
      hasher.emplace(kInlineMax);
      hasher->update(bytes); // the last of it may not be hashed yet
      hasher.reset();        // would hang, or abort, if it did not end the thread
    }
  }
}
