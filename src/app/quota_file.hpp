// QuotaFile: what tokens have used of their daily quotas, for the next start.
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
#include "pkc/ops/log.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
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
  std::chrono::milliseconds interval{2'000}; ///< between looks whether anything has changed
};

/// Reads the file when it starts, and writes it when something has changed and when it stops. A
/// crash loses what was used in the last `interval`; so does a hand-over, for uploads that the
/// predecessor finishes. A file that cannot be read or written is no reason not to serve: the log
/// says so once.
class QuotaFile {
 public:
  /// All outlive it.
  QuotaFile(http::AccessControl& control,
            FileSystem& file_system,
            ops::Log& log,
            QuotaFileOptions options);

  /// Reads the file, once. Before the first client comes, where nobody else writes it; otherwise
  /// the job does it when it starts.
  void load();
  /// Lives as long as this.
  [[nodiscard]] Job& job() { return job_; }

 private:
  Result<std::vector<http::QuotaUse>> read();
  void run(const std::stop_token& stop);
  void save();
  Result<void> write(const std::vector<http::QuotaUse>& uses);

  http::AccessControl& control_;
  FileSystem& file_system_;
  ops::Log& log_;
  const QuotaFileOptions options_;
  std::vector<http::QuotaUse> saved_; ///< of the thread, while there is one
  bool loaded_ = false;
  bool failed_ = false; ///< at the last try
  unsigned temp_number_ = 0;
  std::mutex mutex_;
  std::condition_variable_any stopped_;
  Job job_; // the last: it uses the others
};

} // namespace pkc::app
