// ScrubJob: the thread that scrubs, and how fast.
#pragma once

#include "job.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/store/scrub.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <stop_token>

namespace pkc::app {

/// How much may be read in a second, and from when on. Files count too: small ones cost more than
/// their bytes.
struct ScrubRate {
  ByteCount bytes = 0;     ///< more than 0
  std::size_t files = 200; ///< more than 0
  std::chrono::milliseconds start_delay{};
};

class ScrubJob {
 public:
  /// What `target` refers to outlives it.
  ScrubJob(const store::ScrubTarget& target, store::ScrubOptions options, ScrubRate rate);

  /// Lives as long as this.
  [[nodiscard]] Job& job() { return job_; }

 private:
  void run(const std::stop_token& stop);
  /// False when it is to stop.
  bool sleep_until(SteadyTime time, const std::stop_token& stop);

  const Clock& clock_;
  const ScrubRate rate_;
  store::Scrub scrub_; // of the thread, while there is one
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  Job job_; // the last: it uses the others
};

} // namespace pkc::app
