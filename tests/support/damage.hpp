// Damage: every kind of it that a storage directory can have, to be applied to objects; and a check
// of the directory as the program does it.
#pragma once

#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"

#include "pkc/index/index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/store/fsck.hpp"
#include "pkc/store/key.hpp"

#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::test {

/// One kind of damage.
struct Damage {
  std::string_view name;
  store::Fault fault{};
  /// Needs the bytes to be looked at.
  store::VerifyContent seen_by = store::VerifyContent::no;
  /// Spoils the object of `key`, which is whole, in the storage at `root`.
  void (*apply)(FaultFileSystem& disk, const std::string& root, const store::Key& key) = nullptr;
};

/// One of every kind that fsck can repair.
std::span<const Damage> damages();

/// Remembers what it hears.
class FsckNotes final : public store::FsckObserver {
 public:
  void found(const store::Finding& finding) override {
    findings.push_back(finding);
    on_found();
  }
  void progress(const store::FsckProgress& progress) override { last = progress; }

  std::vector<store::Finding> findings;
  store::FsckProgress last;
  std::function<void()> on_found = [] {};
};

/// The space that run_fsck() compares with an index.
inline constexpr std::string_view kFsckSpace = "polykit";

/// Checks the directory `root`; what was found is in `notes`. Errors as check_store().
Result<store::FsckSummary> run_fsck(FileSystem& file_system,
                                    const std::string& root,
                                    const store::FsckOptions& options,
                                    FsckNotes& notes,
                                    locks::KeyLocks& key_locks,
                                    const std::stop_token& stop = {},
                                    index::Index* index = nullptr);

} // namespace pkc::test
