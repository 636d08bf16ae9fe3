// QuotaFile: what tokens have used of their daily quotas, for the next start and for the other
// process during a hand-over.
//
//     polykit-cache token usage 1
//     2026-11-21 anonymous 1048576       day (UTC), name, bytes written; sorted by name
//     2026-11-21 ci 73400320
//
// Version 1. A file that is not of this form in every line counts for nothing.
#pragma once

#include "job.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/http/auth.hpp"
#include "pkc/locks/lock_file.hpp"
#include "pkc/ops/log.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::app {

/// The text of a file. Pure.
std::string format_quota_uses(const std::vector<http::QuotaUse>& uses);

/// Pure and total. Errors: corrupt.
Result<std::vector<http::QuotaUse>> parse_quota_uses(std::string_view text);

struct QuotaFileOptions {
  std::string path;
  std::string temp_stem;                     ///< of names on the same file system that are ours
  std::string lock_path;                     ///< of a LockFile, of which we take the last byte
  std::chrono::milliseconds interval{2'000}; ///< between looks whether anything has changed
};

/// The file is a counter that the processes of a hand-over share: each adds to its own numbers what
/// others have made of the file since it last saw it, and writes the sums. One process alone finds
/// its own numbers. A crash loses what was used in the last `interval`. A file that cannot be read
/// or written is no reason not to serve: the log says so once. Thread-safe.
class QuotaFile {
 public:
  /// All outlive it.
  QuotaFile(http::AccessControl& control,
            FileSystem& file_system,
            ops::Log& log,
            QuotaFileOptions options);

  /// Brings numbers and file in step now. Blocks while another process does so.
  void sync();
  /// Does it again and again, and a last time when it is stopped. Lives as long as this.
  [[nodiscard]] Job& job() { return job_; }

 private:
  /// What is true of the file, between a look at it and the next.
  struct State {
    std::vector<http::QuotaUse> seen; ///< what of it our numbers have
    bool read_failed = false;         ///< at the last try
    bool write_failed = false;
    unsigned temp_number = 0;
  };

  void run(const std::stop_token& stop);
  Result<void> sync(State& state);
  Result<std::vector<http::QuotaUse>> read();
  std::optional<std::vector<http::QuotaUse>> learn(State& state);
  Result<void> write(const std::vector<http::QuotaUse>& uses, unsigned temp_number);

  http::AccessControl& control_;
  FileSystem& file_system_;
  ops::Log& log_;
  const QuotaFileOptions options_;
  std::mutex sync_mutex_; ///< one at a time; held over I/O, which is what it is for
  State state_;           ///< of who holds it
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  Job job_; // the last: it uses the others
};

} // namespace pkc::app
