// Fsck: the check of a storage directory, wired and run.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/store/fsck.hpp"

#include <cstddef>
#include <functional>

namespace pkc::app {

struct FsckRequest {
  store::Repair repair = store::Repair::no;
  store::VerifyContent verify_content = store::VerifyContent::no;
  std::size_t jobs = 1;
};

struct FsckDone {
  store::FsckSummary summary;
  /// False when keys could not be locked, as on a read-only disk: what a server is about to store
  /// may show as damage then. Never when something was to be repaired.
  bool keys_locked = true;
};

/// Checks the storage directory of `settings`, next to its server or without one. SIGINT, SIGTERM
/// and SIGHUP stop it with what was found so far, and then, each of them, call `interrupted` from
/// another thread. Root becomes the owner of the directory for good, so that nothing is left in it
/// that the server cannot write. Errors: io, when it cannot be checked at all. Call it from the
/// main thread, before any other thread exists, and once.
Result<FsckDone> check_storage(const config::Settings& settings,
                               const FsckRequest& request,
                               store::FsckObserver& observer,
                               const std::function<void()>& interrupted);

} // namespace pkc::app
