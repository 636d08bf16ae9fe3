// Storage: everything below the protocols, put together from the settings.
#pragma once

#include "job.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/processors.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/index/index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/locks/lock_file.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/evictor.hpp"
#include "pkc/store/inventory.hpp"
#include "pkc/store/rebuild.hpp"
#include "pkc/store/record_store.hpp"
#include "pkc/store/room.hpp"
#include "pkc/store/scrub.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::app {

/// The space of the Polykit protocol, which lies at the root of the storage directory.
inline constexpr std::string_view kPolykitSpace = "polykit";
/// What is stored once under the digest of its content, whichever protocol brought it.
inline constexpr std::string_view kContentSpace = "cas";
/// Which URL has which content.
inline constexpr std::string_view kFetchSpace = store::kArchiveSpace;

/// Kept for the next one who compresses.
inline constexpr std::size_t kIdleEncoders = 4;
/// Threads that compress beside those who receive: none on a single core, and with four even a fast
/// origin is no faster.
inline std::size_t encoding_helpers() {
  constexpr std::size_t kHelpersMax = 4;
  return std::min(usable_cores() - 1, kHelpersMax);
}

/// The database of the index, in the storage directory.
inline constexpr std::string_view kIndexFile = "index.db";

/// What the storage reports to; all of it outlives it.
struct StorageParts {
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

/// The directory, its index, and the stores on them. Thread-safe. Destruction stops the jobs and
/// marks the clean end of the index.
class Storage {
 public:
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
  Storage(Storage&&) = delete;
  Storage& operator=(Storage&&) = delete;
  ~Storage();

  /// Takes the directory, or joins a predecessor that uses it still (`inherited_lock`). An index
  /// that cannot be used is no obstacle: one in memory takes its place, with an error in the log.
  /// Errors: unavailable when another process uses the directory; io, no_space.
  static Result<std::unique_ptr<Storage>> open(const config::Settings& settings,
                                               StorageParts parts,
                                               UniqueFd inherited_lock);

  /// For a command that only reads, beside a server or without one: takes no lock of the directory
  /// and makes none. Errors: io, also when there is no such directory.
  static Result<std::unique_ptr<Storage>> open_beside(const config::Settings& settings,
                                                      StorageParts parts);

  [[nodiscard]] blob::Backend& backend() const { return *backends_.polykit; }
  [[nodiscard]] index::Index& index() { return *index_; }
  /// Why the index is one in memory, which ends with the process; empty: it is none.
  [[nodiscard]] const std::string& index_trouble() const { return index_trouble_; }
  [[nodiscard]] store::Room& room() { return room_; }
  [[nodiscard]] store::ContentStore& polykit() const { return *polykit_.store; }
  [[nodiscard]] store::ContentAddressedStore& contents() { return contents_; }
  [[nodiscard]] store::Archive& archive() { return archive_; }
  [[nodiscard]] store::Inventory& inventory() { return inventory_; }
  /// What is asked for here happens when the jobs run.
  [[nodiscard]] store::Rebuild& rebuild() { return rebuild_; }

  /// All of them, the root first.
  [[nodiscard]] std::vector<store::ScrubSpace> scrub_spaces();

  /// For a command, in place of the jobs: takes over what the index says of the room that is taken.
  /// Errors: those of the index.
  Result<void> begin_books();
  /// For a command, likewise: brings the index in step with all files, or those that may have
  /// changed since it was. Errors: those of index and disk.
  Result<store::CompareProgress> compare(std::optional<index::Time> since,
                                         const store::Catalog::Report& report);

  /// Eviction, and bringing the index in step with the files. Once, before serving.
  void start_jobs();
  /// Lets the job compare what has changed since it last did, before its time: another process that
  /// stored and removed objects has ended, and they are not in our account of the room.
  void compare_soon() { compare_asked_ = true; }

 private:
  struct Backends {
    std::unique_ptr<blob::Backend> polykit; ///< the root of the directory
    std::unique_ptr<blob::Backend> content;
    std::unique_ptr<blob::Backend> fetch;

    static Result<Backends> of(std::unique_ptr<blob::Backend> root);
  };
  struct SpaceKind {
    store::Overwrite overwrite = store::Overwrite::no;
    store::Blobs blobs = store::StoreOptions{}.blobs;
    std::size_t cache_divisor = 4; ///< which part of what may be kept in memory and open
  };
  /// The names of one protocol, or of several that share them.
  struct Space {
    std::unique_ptr<store::Catalog> catalog;
    std::unique_ptr<store::ContentStore> store;
    bool begun = false; ///< the catalog
  };
  Storage(const config::Settings& settings,
          StorageParts parts,
          Backends backends,
          locks::LockFile key_lock_file);
  void run_index_job(const std::stop_token& stop);
  Space make_space(const config::Settings& settings,
                   blob::Backend& backend,
                   std::string_view name,
                   SpaceKind kind);
  [[nodiscard]] std::array<Space*, 3> spaces() { return {&polykit_, &content_, &fetch_}; }
  void fill_inventory(store::Evictable downloads);
  bool settle();
  /// And reads the records of which the index does not know what they say.
  Result<bool> compare_spaces(std::optional<index::Time> since,
                              const std::stop_token& stop,
                              const store::Catalog::Report& report);
  void keep_in_step(const std::stop_token& stop);
  [[nodiscard]] bool is_due(const index::State& seen, SteadyTime next) const;
  bool rebuild_index(const index::State& seen, const std::stop_token& stop);
  /// `report` may be empty.
  bool bring_in_step(const index::State& seen,
                     std::optional<index::Time> since,
                     const std::stop_token& stop,
                     const store::Catalog::Report& report);

  StorageParts parts_;
  Backends backends_;
  locks::LockFile key_lock_file_;
  locks::KeyLocks key_locks_;
  std::string index_trouble_;
  std::unique_ptr<index::Index> index_;
  store::Room room_;
  ZstdContextPool decoders_;
  ZstdEncoderPool encoders_{kIdleEncoders, encoding_helpers()};
  Space polykit_;
  Space content_;
  Space fetch_;
  store::ContentAddressedStore contents_;
  store::RecordStore fetch_records_;
  store::Archive archive_;
  store::Evictor evictor_;
  store::Inventory inventory_;
  store::Rebuild rebuild_;
  std::atomic<bool> compare_asked_{false};
  bool books_begun_ = false; // of the index job, once it runs
  // The last: these use everything above.
  Job index_job_;
  Job eviction_job_;
};

} // namespace pkc::app
