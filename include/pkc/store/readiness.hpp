// Readiness: whether the server can store what it is sent, for those who watch it.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/ops/log.hpp"

#include <atomic>
#include <chrono>
#include <optional>
#include <string_view>

namespace pkc::store {

/// Finds out by trying, but seldom: a monitor that asks all the time costs the disk no more than
/// one that asks every few seconds. Logs each change once. Thread-safe. All references outlive it.
class Readiness {
 public:
  /// How long a result is good for, from its end.
  static constexpr std::chrono::seconds kInterval{3};
  /// A disk that has not answered for this long is in trouble.
  static constexpr std::chrono::seconds kPatience{10};

  Readiness(blob::Backend& backend, const Clock& clock, ops::Log& log)
      : backend_(backend), clock_(clock), log_(log) {}

  /// Why the server should get no requests, in words for anybody; nothing when it is ready. The
  /// view lives for ever. Whoever comes after kInterval tries the disk, which blocks; all others
  /// get the last result at once, or hear that the disk has not answered within kPatience.
  [[nodiscard]] std::optional<std::string_view> trouble();

  /// From now on the server is not ready, as it stops.
  void stop() { stopping_ = true; }

 private:
  using Trouble = std::optional<std::string_view>;
  struct State {
    bool probing = false;
    SteadyTime begun;                    ///< of the probe under way
    SteadyTime next = SteadyTime::min(); ///< when the last result is too old
    /// At first nothing: the server has just made its directory ready.
    Trouble trouble;
  };

  Trouble probe();

  blob::Backend& backend_;
  const Clock& clock_;
  ops::Log& log_;
  std::atomic<bool> stopping_{false};
  Guarded<State> state_;
};

} // namespace pkc::store
