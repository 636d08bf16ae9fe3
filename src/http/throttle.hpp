// Throttle: how fast the bytes of one token may go.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"

#include <chrono>
#include <memory>

namespace pkc::http {

/// A token bucket of bytes that all transfers of one token in one direction share. It holds what
/// the rate gives in a second: so much goes at once after a pause. Transfers take turns, a piece
/// each, in the order in which they asked, so none is starved and the rate is kept whatever their
/// number. Thread-safe; it waits for nobody.
class Throttle {
 public:
  /// One that both of them limit. Either may be null, and null it is when both are.
  static std::shared_ptr<Throttle> of_both(std::shared_ptr<Throttle> first,
                                           std::shared_ptr<Throttle> second);

  /// In bytes per second; 0: no limit. Counts from the next turn on, also for transfers under way.
  void set_rate(ByteCount per_second);

  /// Takes all of `bytes` at once; false, and nothing is taken, when they would have to wait.
  bool try_pass(ByteCount bytes, SteadyTime now);

  struct Turn {
    ByteCount bytes = 0; ///< how many may go, at least 1
    SteadyTime when;     ///< not before
  };
  /// The next turn of a transfer that would move up to `left` bytes. REQUIRES: left > 0.
  Turn next_turn(ByteCount left, SteadyTime now);

  /// What was taken, but not moved.
  void give_back(ByteCount bytes);

 private:
  struct State {
    ByteCount rate = 0;
    /// When everything that was taken is paid for: one number holds all of a bucket (the generic
    /// cell rate algorithm).
    SteadyTime paid_at;
  };
  static SteadyTime::duration price_of(ByteCount bytes, const State& state);

  Guarded<State> state_;
  std::shared_ptr<Throttle> first_; ///< with its turns in place of ours; null: it is not of_both()
  std::shared_ptr<Throttle> second_;
};

} // namespace pkc::http
