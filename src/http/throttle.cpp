#include "throttle.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <utility>

namespace pkc::http {

namespace {

constexpr std::chrono::seconds kBurst{1};
/// A turn takes a sixteenth of a second: short, so that many transfers at once all get on, but long
/// enough to cost nothing.
constexpr ByteCount kTurnsPerSecond = 16;
constexpr ByteCount kTurnMin = 1 * kKiB;
constexpr ByteCount kTurnMax = 1 * kMiB;

} // namespace

SteadyTime::duration Throttle::price_of(ByteCount bytes, const State& state) {
  // Numbers of any size, and exact to far below a microsecond where they are those of a turn.
  const auto seconds = static_cast<double>(bytes) / static_cast<double>(state.rate);
  constexpr double kLongest = 24.0 * 3600;
  return std::chrono::duration_cast<SteadyTime::duration>(
      std::chrono::duration<double>(std::min(seconds, kLongest)));
}

std::shared_ptr<Throttle> Throttle::of_both(std::shared_ptr<Throttle> first,
                                            std::shared_ptr<Throttle> second) {
  if (!first || !second) {
    return first ? std::move(first) : std::move(second);
  }
  auto both = std::make_shared<Throttle>();
  both->first_ = std::move(first);
  both->second_ = std::move(second);
  return both;
}

void Throttle::set_rate(ByteCount per_second) {
  const auto state = state_.lock();
  if (state->rate != per_second) { // what was taken at another rate is no debt at this one
    *state = {.rate = per_second, .paid_at = {}};
  }
}

bool Throttle::try_pass(ByteCount bytes, SteadyTime now) {
  if (first_) {
    const bool passes = first_->try_pass(bytes, now);
    const bool both = passes && second_->try_pass(bytes, now);
    if (passes && !both) {
      first_->give_back(bytes);
    }
    return both;
  }
  const auto state = state_.lock();
  if (state->rate == 0) {
    return true;
  }
  const SteadyTime paid_at = std::max(state->paid_at, now - kBurst) + price_of(bytes, *state);
  if (paid_at > now) {
    return false;
  }
  state->paid_at = paid_at;
  return true;
}

Throttle::Turn Throttle::next_turn(ByteCount left, SteadyTime now) {
  PKC_ASSERT(left > 0);
  if (first_) {
    const Turn first = first_->next_turn(left, now);
    const Turn second = second_->next_turn(first.bytes, now);
    first_->give_back(first.bytes - second.bytes);
    return {.bytes = second.bytes, .when = std::max(first.when, second.when)};
  }
  const auto state = state_.lock();
  if (state->rate == 0) {
    return {.bytes = left, .when = now};
  }
  const ByteCount bytes =
      std::min(left, std::clamp(state->rate / kTurnsPerSecond, kTurnMin, kTurnMax));
  // It pays first and goes when it has paid: what was saved up counts.
  state->paid_at = std::max(state->paid_at, now - kBurst) + price_of(bytes, *state);
  return {.bytes = bytes, .when = state->paid_at};
}

void Throttle::give_back(ByteCount bytes) {
  if (first_) {
    first_->give_back(bytes);
    second_->give_back(bytes);
    return;
  }
  const auto state = state_.lock();
  if (state->rate > 0) {
    state->paid_at -= price_of(bytes, *state);
  }
}

} // namespace pkc::http
