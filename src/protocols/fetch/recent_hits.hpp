// RecentHits: answers that were given a moment ago, for requests with the same query.
#pragma once

#include "fetch/content_answer.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/store/key.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pkc::protocols::fetch {

/// What a query was answered with.
struct RecentHit {
  std::string source_url;
  store::Key record;
  std::shared_ptr<const Repeatable> answer; ///< never null
  std::uint64_t changes = 0; ///< of the archive, before its record was read: void after the next
  SteadyTime looked_at;      ///< when that was
};

/// Bounded: about a thousand hits of up to 24 KiB, mostly of one. Thread-safe; sharded, so that
/// requests rarely meet.
class RecentHits {
 public:
  /// For how long a record is believed without a look at it: so late shows what another process
  /// does to it, or somebody by hand. This process tells by RecentHit::changes, at once.
  static constexpr std::chrono::seconds kBelieved{1};

  /// Null when there is none that still holds.
  std::shared_ptr<const RecentHit> find(std::string_view query,
                                        std::uint64_t changes,
                                        SteadyTime now);
  /// In place of what was there; too large a one is not kept.
  void keep(std::string_view query, RecentHit hit);

 private:
  struct Hash {
    using is_transparent = void; // NOLINT(readability-identifier-naming): the library's name
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Hits =
      std::unordered_map<std::string, std::shared_ptr<const RecentHit>, Hash, std::equal_to<>>;
  struct Shard {
    Hits hits;
    std::vector<std::string> order; ///< the queries of all hits, a ring
    std::size_t oldest = 0;
  };
  static constexpr std::size_t kShards = 16;

  Guarded<Shard>& shard_of(std::string_view query) {
    return shards_[Hash()(query) / 64 % kShards]; // not by the low bits, as its table does
  }

  std::array<Guarded<Shard>, kShards> shards_;
};

} // namespace pkc::protocols::fetch
