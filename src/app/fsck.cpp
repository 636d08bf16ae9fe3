#include "pkc/app/fsck.hpp"

#include "handover.hpp"
#include "signals.hpp"
#include "storage.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/index/index.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/locks/lock_file.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <grp.h>

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

namespace pkc::app {

namespace {

/// What root made in the directory (a lock file, the quarantine) the server could not use.
Result<void> become_owner_of(const std::string& directory) {
  struct stat found{};
  if (::stat(directory.c_str(), &found) != 0) {
    return fail_errno(errno, directory);
  }
  if (::geteuid() != 0 || found.st_uid == 0) {
    return {};
  }
  if (::setgroups(1, &found.st_gid) != 0 ||
      ::setresgid(found.st_gid, found.st_gid, found.st_gid) != 0 ||
      ::setresuid(found.st_uid, found.st_uid, found.st_uid) != 0) {
    const int error_number = errno;
    return fail_errno(error_number, "become the owner of " + directory);
  }
  return {};
}

/// What a check says of the index, and what it says in its log.
struct FsckIndex {
  std::unique_ptr<ops::Log> log = ops::make_stderr_log({.level = ops::LogLevel::error});
  ops::Metrics metrics;
  std::unique_ptr<index::Index> index; ///< null: there is none to compare
  std::string why_none;
  bool failed = false; ///< there should be one
};

/// Joins the processes that use the index, as a successor of a server does. A damaged one stays as
/// it is until the check says so.
Result<std::unique_ptr<FsckIndex>> open_index(const std::string& directory, bool writable) {
  auto opened = std::make_unique<FsckIndex>();
  const std::string path = directory + '/' + std::string(kIndexFile);
  TRY_ASSIGN(const auto there, posix_file_system().stat(path));
  if (!there || !writable) {
    opened->why_none = there ? "the directory cannot be written"
                             : "there is none; the server makes one when it runs";
    return opened;
  }
  auto made = index::make_sql_index(system_clock(),
                                    *opened->log,
                                    opened->metrics,
                                    {.path = path,
                                     .process = ::getpid(),
                                     .alive = other_process_lives,
                                     .flush_interval = index::SqlIndexOptions{}.flush_interval,
                                     .query_timeout = index::SqlIndexOptions{}.query_timeout,
                                     .pending_max = index::SqlIndexOptions{}.pending_max,
                                     .broken = index::Broken::kept});
  if (made) {
    opened->index = *std::move(made);
  } else {
    opened->why_none = made.error().message;
    opened->failed = true;
  }
  return opened;
}

/// Every space of a directory, as a Storage has them.
struct FsckSpaces {
  explicit FsckSpaces(blob::Backend& root,
                      std::unique_ptr<blob::Backend> of_content,
                      std::unique_ptr<blob::Backend> of_fetch)
      : content_backend(std::move(of_content)),
        fetch_backend(std::move(of_fetch)),
        all{{{.name = kPolykitSpace, .directory = "", .backend = root},
             {.name = kContentSpace,
              .directory = kContentSpace,
              .backend = *content_backend,
              .blobs = store::Blobs::addressed},
             {.name = kFetchSpace,
              .directory = kFetchSpace,
              .backend = *fetch_backend,
              .blobs = store::Blobs::encoded,
              .contents = &all[1]}}} {}
  FsckSpaces(const FsckSpaces&) = delete;
  FsckSpaces& operator=(const FsckSpaces&) = delete;
  FsckSpaces(FsckSpaces&&) = delete;
  FsckSpaces& operator=(FsckSpaces&&) = delete;
  ~FsckSpaces() = default;

  std::unique_ptr<blob::Backend> content_backend;
  std::unique_ptr<blob::Backend> fetch_backend;
  std::array<store::FsckSpace, 3> all;
};

/// Waits for signals until it is destroyed: the first one stops the check.
class Interruption {
 public:
  static Result<std::unique_ptr<Interruption>> make(const std::function<void()>& heard) {
    TRY_ASSIGN(Signals signals, Signals::make());
    UniqueFd end(::eventfd(0, EFD_CLOEXEC));
    if (!end) {
      return fail_errno(errno, "eventfd");
    }
    return std::unique_ptr<Interruption>(
        new Interruption(std::move(signals), std::move(end), heard));
  }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  Interruption(Interruption&&) = delete;
  Interruption& operator=(Interruption&&) = delete;
  ~Interruption() {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(end_.get(), &one, sizeof one);
  }

  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }

 private:
  Interruption(Signals signals, UniqueFd end, const std::function<void()>& heard)
      : signals_(std::move(signals)),
        end_(std::move(end)),
        heard_(heard),
        waiter_([this] { wait(); }) {}

  void wait() {
    for (;;) {
      const auto woken = signals_.wait({end_.get()});
      if (!woken || woken->descriptor == end_.get()) {
        return;
      }
      if (woken->signal == 0 || woken->signal == SIGUSR2) {
        continue;
      }
      stop_.request_stop();
      heard_();
    }
  }

  Signals signals_;
  UniqueFd end_;
  std::stop_source stop_;
  const std::function<void()>& heard_;
  std::jthread waiter_; // the last: it uses the others
};

} // namespace

Result<FsckDone> check_storage(const config::Settings& settings,
                               const FsckRequest& request,
                               store::FsckObserver& observer,
                               const std::function<void()>& interrupted) {
  TRY(become_owner_of(settings.storage_dir));
  TRY_ASSIGN(const auto interruption, Interruption::make(interrupted));
  blob::DiskOptions disk;
  disk.root = settings.storage_dir;
  disk.quarantine_size_max = settings.quarantine_max_size;
  disk.process = ::getpid();
  TRY_ASSIGN(const auto backend, blob::open_disk_backend(posix_file_system(), std::move(disk)));
  TRY_ASSIGN(auto content_backend, backend->make_space(kContentSpace));
  TRY_ASSIGN(auto fetch_backend, backend->make_space(kFetchSpace));
  const FsckSpaces spaces(*backend, std::move(content_backend), std::move(fetch_backend));
  const auto upkeep = blob::make_disk_upkeep(posix_file_system(), settings.storage_dir);
  auto lock_file =
      locks::LockFile::open(settings.storage_dir + '/' + std::string(blob::kKeyLockFile));
  if (!lock_file && request.repair == store::Repair::yes) {
    return std::unexpected(lock_file.error());
  }
  locks::KeyLocks key_locks(lock_file ? &*lock_file : nullptr);
  TRY_ASSIGN(const auto index, open_index(settings.storage_dir, lock_file.has_value()));
  TRY_ASSIGN(auto summary,
             store::check_store({.spaces = spaces.all,
                                 .upkeep = *upkeep,
                                 .key_locks = key_locks,
                                 .clock = system_clock(),
                                 .index = index->index.get(),
                                 .index_name = kIndexFile},
                                {.repair = request.repair,
                                 .verify_content = request.verify_content,
                                 .jobs = request.jobs,
                                 .process_lives = process_lives},
                                observer,
                                interruption->token()));
  if (!index->index) {
    summary.index_skipped = index->why_none;
    summary.index_failed = index->failed;
  }
  return FsckDone{.summary = std::move(summary), .keys_locked = lock_file.has_value()};
}

} // namespace pkc::app
