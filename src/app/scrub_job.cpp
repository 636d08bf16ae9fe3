#include "scrub_job.hpp"

#include <algorithm>
#include <utility>

namespace pkc::app {

ScrubJob::ScrubJob(const store::ScrubTarget& target, store::ScrubOptions options, ScrubRate rate)
    : clock_(target.clock),
      rate_(rate),
      scrub_(target, std::move(options)),
      job_("scrub", [this](const std::stop_token& stop) { run(stop); }) {}

void ScrubJob::run(const std::stop_token& stop) {
  using Seconds = std::chrono::duration<double>;
  SteadyTime free_at = clock_.steady_now(); // when what was read so far is paid for
  const auto pace = [&](std::size_t size) {
    const double seconds = size == 0 ? 1.0 / static_cast<double>(rate_.files)
                                     : static_cast<double>(size) / static_cast<double>(rate_.bytes);
    free_at = std::max(free_at, clock_.steady_now()) +
              std::chrono::duration_cast<SteadyTime::duration>(Seconds(seconds));
    return sleep_until(free_at, stop);
  };
  // A server that has just started has better things to read.
  bool going = sleep_until(clock_.steady_now() + rate_.start_delay, stop);
  while (going) {
    const auto wait = scrub_.step(pace);
    going =
        wait.count() > 0 ? sleep_until(clock_.steady_now() + wait, stop) : !stop.stop_requested();
  }
  if (!scrub_.state().next_shard.empty()) {
    scrub_.save();
  }
}

bool ScrubJob::sleep_until(SteadyTime time, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  stopped_.wait_until(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

} // namespace pkc::app
