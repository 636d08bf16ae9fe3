#include "pkc/base/assert.hpp"
#include "pkc/ops/metrics.hpp"

#include <pthread.h>

#include <algorithm>
#include <functional>

namespace pkc::ops {
namespace {

/// The kernel and the allocator space the threads' descriptors evenly, so all but the highest bits
/// of this product would agree for many of them (Fibonacci hashing).
std::size_t shard_of_this_thread(std::size_t bits) {
  constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;
  constexpr unsigned kWordBits = 64;
  return (std::uint64_t{::pthread_self()} * kGolden) >> (kWordBits - bits);
}

} // namespace

Histogram::Histogram(Scale scale) : scale_(scale) {
  PKC_ASSERT(scale.bounds.size() <= kBoundsMax);
  PKC_ASSERT(scale.ticks_per_unit > 0);
  PKC_ASSERT(std::ranges::adjacent_find(scale.bounds, std::ranges::greater_equal{}) ==
             scale.bounds.end());
}

void Histogram::observe(std::uint64_t ticks) {
  constexpr std::size_t kShardBits = 3;
  static_assert(kShards == std::size_t{1} << kShardBits);
  const auto bucket =
      static_cast<std::size_t>(std::ranges::lower_bound(scale_.bounds, ticks) - // le: inclusive
                               scale_.bounds.begin());
  Shard& shard = shards_[shard_of_this_thread(kShardBits)];
  shard.counts[bucket].fetch_add(1, std::memory_order_relaxed);
  shard.sum.fetch_add(ticks, std::memory_order_relaxed);
}

Histogram::Snapshot Histogram::snapshot() const {
  Snapshot snapshot;
  snapshot.cumulative.resize(scale_.bounds.size() + 1);
  std::uint64_t sum = 0;
  for (const Shard& shard : shards_) {
    sum += shard.sum.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < snapshot.cumulative.size(); ++i) {
      snapshot.cumulative[i] += shard.counts[i].load(std::memory_order_relaxed);
    }
  }
  for (std::size_t i = 1; i < snapshot.cumulative.size(); ++i) {
    snapshot.cumulative[i] += snapshot.cumulative[i - 1];
  }
  snapshot.sum = static_cast<double>(sum) / static_cast<double>(scale_.ticks_per_unit);
  return snapshot;
}

Histogram::Scale request_durations() {
  static constexpr std::array<std::uint64_t, 17> kMicroseconds = {100,
                                                                  250,
                                                                  500,
                                                                  1'000,
                                                                  2'500,
                                                                  5'000,
                                                                  10'000,
                                                                  25'000,
                                                                  50'000,
                                                                  100'000,
                                                                  250'000,
                                                                  1'000'000,
                                                                  2'500'000,
                                                                  5'000'000,
                                                                  10'000'000,
                                                                  30'000'000,
                                                                  60'000'000};
  return {.bounds = kMicroseconds, .ticks_per_unit = 1'000'000};
}

} // namespace pkc::ops
