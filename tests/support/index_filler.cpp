#include "support/index_filler.hpp"

#include "pkc/index/reconcile.hpp"

#include <array>
#include <bit>
#include <string_view>

namespace pkc::test {
namespace {

/// The output function of SplitMix64: every number another, and no order among them.
std::uint64_t mix(std::uint64_t number) {
  number += 0x9e3779b97f4a7c15;
  number = (number ^ (number >> 30U)) * 0xbf58476d1ce4e5b9;
  number = (number ^ (number >> 27U)) * 0x94d049bb133111eb;
  return number ^ (number >> 31U);
}

} // namespace

std::string made_key(std::uint64_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string key;
  key.reserve(64);
  std::uint64_t bits = number;
  for (int word = 0; word < 4; ++word) {
    bits = mix(bits);
    for (unsigned shift = 0; shift < 64; shift += 4) {
      key += kDigits[(bits >> shift) & 0xfU];
    }
  }
  return key;
}

std::uint64_t made_size(std::uint64_t number) {
  const std::uint64_t bits = mix(number + 1);
  return std::uint64_t{1024} << (std::countr_zero(bits | 0x400U));
}

Result<void> fill_index(index::Index& index,
                        const std::string& space,
                        std::uint64_t count,
                        index::Time newest) {
  constexpr std::uint64_t kBlock = 4096;
  index::Reconciler reconciler(index, space);
  for (std::uint64_t number = 0; number < count; ++number) {
    const std::uint64_t size = made_size(number);
    TRY(reconciler.found({.key = made_key(number),
                          .size = size,
                          .disk_size = (size + kBlock - 1) / kBlock * kBlock + kBlock,
                          .stored_at = newest - std::chrono::seconds(count - number)}));
  }
  return reconciler.finish();
}

} // namespace pkc::test
