#include "absent_cache.hpp"

#include <utility>

namespace pkc::upstream {

void AbsentCache::remember(const std::string& key, Failure failure) {
  if (ttl_.count() == 0 || size_max_ == 0) {
    return;
  }
  const SteadyTime expires = clock_.steady_now() + ttl_;
  const auto state = state_.lock();
  state->entries.insert_or_assign(key, Entry{std::move(failure), expires});
  state->order.emplace_back(expires, key);
  drop_old(*state);
}

void AbsentCache::forget(const std::string& key) {
  state_.lock()->entries.erase(key);
}

std::optional<Failure> AbsentCache::find(const std::string& key) {
  const SteadyTime now = clock_.steady_now();
  const auto state = state_.lock();
  const auto found = state->entries.find(key);
  if (found == state->entries.end() || found->second.expires <= now) {
    return std::nullopt;
  }
  return found->second.failure;
}

void AbsentCache::drop_old(State& state) {
  const SteadyTime now = clock_.steady_now();
  while (!state.order.empty() &&
         (state.order.front().first <= now || state.order.size() > size_max_)) {
    const auto& [expires, key] = state.order.front();
    // A later answer about the same key stays.
    if (const auto found = state.entries.find(key);
        found != state.entries.end() && found->second.expires == expires) {
      state.entries.erase(found);
    }
    state.order.pop_front();
  }
}

} // namespace pkc::upstream
