#include "write_trial.hpp"

#include "judgement.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace pkc::app {

namespace {

constexpr std::size_t kTrialSize = 4096;
constexpr std::chrono::milliseconds kSlowSync{1000};

/// A name that goes away with its owner.
class TrialName {
 public:
  explicit TrialName(std::string path) : path_(std::move(path)) {}
  TrialName(const TrialName&) = delete;
  TrialName& operator=(const TrialName&) = delete;
  TrialName(TrialName&&) = delete;
  TrialName& operator=(TrialName&&) = delete;
  ~TrialName() {
    [[maybe_unused]] const auto ignored = posix_file_system().remove(path_); // nobody to tell
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

struct Trial {
  bool case_matters = true;
  std::chrono::seconds ahead{}; ///< the time of the file, of that of the machine
  std::chrono::milliseconds sync{};
};

std::chrono::seconds time_ahead(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return {};
  }
  const WallTime written{std::chrono::seconds(status.st_mtim.tv_sec)};
  return written - system_clock().wall_now();
}

Result<Trial> run_trial(const std::string& first, const std::string& directory) {
  FileSystem& disk = posix_file_system();
  const std::string process = std::to_string(::getpid());
  const TrialName begun(first);
  const TrialName named(directory + "/.polykit-cache-doctor-" + process);
  Trial trial;
  {
    TRY_ASSIGN(const auto file, disk.create(begun.path()));
    TRY(file->write(std::vector<std::byte>(kTrialSize)));
    const SteadyTime before = system_clock().steady_now();
    TRY(file->sync());
    trial.sync =
        std::chrono::duration_cast<std::chrono::milliseconds>(system_clock().steady_now() - before);
  }
  trial.ahead = time_ahead(begun.path());
  TRY(disk.rename(begun.path(), named.path()));
  TRY_ASSIGN(const auto other_case, disk.stat(directory + "/.POLYKIT-CACHE-DOCTOR-" + process));
  trial.case_matters = !other_case;
  TRY(disk.sync_directory(directory));
  return trial;
}

/// Where an upload would begin: the name is one that a server sweeps away at its start.
std::string first_name(const std::string& directory) {
  struct stat status{};
  const std::string folder = directory + "/tmp";
  const bool exists = ::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  const std::string process = std::to_string(::getpid());
  return exists ? folder + '/' + process + "-doctor.tmp"
                : directory + "/.polykit-cache-doctor-" + process + ".tmp";
}

} // namespace

void try_writing(const std::string& directory, const FindingSink& sink) {
  constexpr int kTries = 3;
  auto trial = run_trial(first_name(directory), directory);
  // A server that starts now has swept the file away as a leftover. It does so once.
  for (int i = 1; i < kTries && !trial && trial.error().code == Errc::io; ++i) {
    trial = run_trial(first_name(directory), directory);
  }
  if (!trial) {
    const bool full = trial.error().code == Errc::no_space;
    sink({Verdict::problem,
          "writing",
          "a file cannot be stored: " + trial.error().message,
          full ? "give the file system room, or raise the quota of this user"
               : "give what the message names to the user that runs the server; after an "
                 "input/output error, look at `dmesg`"});
    return;
  }
  sink(
      trial->sync > kSlowSync
          ? Finding{Verdict::warning,
                    "writing",
                    "works, but one fsync took " + std::to_string(trial->sync.count()) +
                        " ms, and an upload waits for three",
                    "look for a disk that is busy or failing"}
          : Finding{Verdict::ok, "writing", "a file was written, synced, renamed and removed", ""});
  sink(judge_names(trial->case_matters));
  if (const auto finding = judge_file_time(trial->ahead)) {
    sink(*finding);
  }
}

} // namespace pkc::app
