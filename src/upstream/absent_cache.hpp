// AbsentCache: what an origin said it does not have, for a short while.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/upstream/downloads.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace pkc::upstream {

/// Remembers up to `size_max` failures, each for `ttl`; the oldest go for new ones. Thread-safe.
class AbsentCache {
 public:
  AbsentCache(const Clock& clock, std::chrono::milliseconds ttl, std::size_t size_max)
      : clock_(clock), ttl_(ttl), size_max_(size_max) {}

  void remember(const std::string& key, Failure failure);
  void forget(const std::string& key);
  [[nodiscard]] std::optional<Failure> find(const std::string& key);

 private:
  struct Entry {
    Failure failure;
    SteadyTime expires;
  };
  struct State {
    std::unordered_map<std::string, Entry> entries;
    std::deque<std::pair<SteadyTime, std::string>> order; ///< by expiry; may name what is gone
  };
  void drop_old(State& state);

  const Clock& clock_;
  const std::chrono::milliseconds ttl_;
  const std::size_t size_max_;
  Guarded<State> state_;
};

} // namespace pkc::upstream
