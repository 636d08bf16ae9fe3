#include "pkc/store/readiness.hpp"

namespace pkc::store {

namespace {

constexpr std::string_view kStopping = "the server is shutting down";
constexpr std::string_view kSilent = "the disk does not answer";
constexpr std::string_view kFull = "the disk is full";
constexpr std::string_view kNotWritable = "the storage directory cannot be written";

} // namespace

std::optional<std::string_view> Readiness::trouble() {
  if (stopping_) {
    return kStopping;
  }
  {
    const auto state = state_.lock();
    const SteadyTime now = clock_.steady_now();
    if (state->probing) {
      return now - state->begun >= kPatience ? kSilent : state->trouble;
    }
    if (now < state->next) {
      return state->trouble;
    }
    state->probing = true;
    state->begun = now;
  }
  return probe();
}

Readiness::Trouble Readiness::probe() {
  const auto probed = backend_.probe();
  Trouble trouble;
  if (!probed) {
    trouble = probed.error().code == Errc::no_space ? kFull : kNotWritable;
  }
  bool changed = false;
  {
    const auto state = state_.lock();
    changed = state->trouble != trouble;
    state->trouble = trouble;
    state->next = clock_.steady_now() + kInterval;
    state->probing = false;
  }
  if (changed && trouble) {
    log_.error("uploads cannot be stored",
               {{"trouble", *trouble}, {"reason", probed.error().message}});
  } else if (changed) {
    log_.info("uploads can be stored again");
  }
  return trouble;
}

} // namespace pkc::store
