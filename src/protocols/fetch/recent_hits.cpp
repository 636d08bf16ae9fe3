#include "fetch/recent_hits.hpp"

#include <utility>

namespace pkc::protocols::fetch {

namespace {

constexpr std::size_t kShardHitsMax = 64;
constexpr std::size_t kQuerySizeMax = 2 * kKiB;

} // namespace

std::shared_ptr<const RecentHit> RecentHits::find(std::string_view query,
                                                  std::uint64_t changes,
                                                  SteadyTime now) {
  std::shared_ptr<const RecentHit> hit;
  {
    const auto shard = shard_of(query).lock();
    const auto found = shard->hits.find(query);
    if (found != shard->hits.end()) {
      hit = found->second;
    }
  }
  const bool holds = hit && hit->changes == changes && now - hit->looked_at < kBelieved;
  return holds ? std::move(hit) : nullptr;
}

void RecentHits::keep(std::string_view query, RecentHit hit) {
  if (query.size() > kQuerySizeMax) {
    return;
  }
  auto fresh = std::make_shared<const RecentHit>(std::move(hit));
  std::shared_ptr<const RecentHit> gone; // after the lock
  const auto shard = shard_of(query).lock();
  if (const auto known = shard->hits.find(query); known != shard->hits.end()) {
    gone = std::exchange(known->second, std::move(fresh));
    return;
  }
  if (shard->order.size() < kShardHitsMax) {
    shard->order.emplace_back(query);
  } else {
    // The oldest goes, used or not: if it is in use, the next request brings it back.
    std::string& slot = shard->order[shard->oldest];
    shard->oldest = (shard->oldest + 1) % shard->order.size();
    if (const auto old = shard->hits.find(slot); old != shard->hits.end()) {
      gone = std::move(old->second);
      shard->hits.erase(old);
    }
    slot = query;
  }
  shard->hits.emplace(query, std::move(fresh));
}

} // namespace pkc::protocols::fetch
