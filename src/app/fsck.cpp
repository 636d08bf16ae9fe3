#include "pkc/app/fsck.hpp"

#include "handover.hpp"
#include "signals.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/locks/lock_file.hpp"

#include <grp.h>

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

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
  const auto upkeep = blob::make_disk_upkeep(posix_file_system(), settings.storage_dir);
  auto lock_file =
      locks::LockFile::open(settings.storage_dir + '/' + std::string(blob::kKeyLockFile));
  if (!lock_file && request.repair == store::Repair::yes) {
    return std::unexpected(lock_file.error());
  }
  locks::KeyLocks key_locks(lock_file ? &*lock_file : nullptr);
  TRY_ASSIGN(
      auto summary,
      store::check_store(
          {.backend = *backend, .upkeep = *upkeep, .key_locks = key_locks, .clock = system_clock()},
          {.repair = request.repair,
           .verify_content = request.verify_content,
           .jobs = request.jobs,
           .process_lives = process_lives},
          observer,
          interruption->token()));
  return FsckDone{.summary = summary, .keys_locked = lock_file.has_value()};
}

} // namespace pkc::app
