#include "storage.hpp"

#include "handover.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/index/sql_index.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

namespace pkc::app {

namespace {

constexpr std::chrono::seconds kStepInterval{1};
/// Files that were moved or deleted by hand, or by another process, are noticed that late.
constexpr std::chrono::hours kCompareInterval{1};
/// Clocks of disks are not exactly ours.
constexpr std::chrono::minutes kCompareMargin{5};
constexpr std::chrono::seconds kCompareRetry{30};

blob::DiskOptions disk_options(const config::Settings& settings, UniqueFd inherited_lock) {
  const auto durability = [&] {
    switch (settings.durability) {
      case config::Durability::none:
        return blob::Durability::none;
      case config::Durability::file:
        return blob::Durability::file;
      case config::Durability::full:
        return blob::Durability::full;
    }
    std::unreachable();
  };
  return {.root = settings.storage_dir,
          .durability = durability(),
          .process = ::getpid(),
          .quarantine_size_max = settings.quarantine_max_size,
          .inherited_lock = std::move(inherited_lock)};
}

store::StoreOptions store_options(const config::Settings& settings, locks::KeyLocks& key_locks) {
  const auto verify_reads = [&] {
    switch (settings.verify_reads) {
      case config::VerifyReads::first:
        return store::VerifyReads::first;
      case config::VerifyReads::always:
        return store::VerifyReads::always;
      case config::VerifyReads::never:
        return store::VerifyReads::never;
    }
    std::unreachable();
  };
  return {.verify_reads = verify_reads(),
          .verify_ahead_max = settings.verify_ahead_max,
          .overwrite = store::Overwrite::no,
          .blobs = store::StoreOptions{}.blobs,
          .entry_cache_max = settings.entry_cache_max,
          .open_files_max = settings.open_files_max,
          .key_locks = &key_locks,
          .catalog = nullptr};
}

/// A relative directory is told as an absolute one: services start in other places than shells.
Result<std::unique_ptr<blob::Backend>> open_backend(blob::DiskOptions options) {
  std::error_code unknown;
  const auto absolute = std::filesystem::absolute(options.root, unknown).lexically_normal();
  const std::string name = unknown ? options.root : absolute.string();
  auto backend = blob::make_disk_backend(posix_file_system(), std::move(options));
  if (!backend) {
    return std::unexpected(
        std::move(backend).error().prefixed("cannot use the storage directory " + name));
  }
  return backend;
}

store::RoomLimits room_limits(const config::Settings& settings) {
  return {.size_max = settings.cache_max_size,
          .space_size_max = settings.space_max_size,
          .disk_free_min = settings.min_free_space,
          .evict_above = settings.evict_above,
          .evict_to = settings.evict_to,
          .patience = store::RoomLimits{}.patience};
}

std::unique_ptr<index::Index> open_index(const config::Settings& settings,
                                         const StorageParts& parts,
                                         std::string& trouble) {
  auto index = index::make_sql_index(parts.clock,
                                     parts.log,
                                     parts.metrics,
                                     {.path = settings.storage_dir + '/' + std::string(kIndexFile),
                                      .process = ::getpid(),
                                      .alive = other_process_lives,
                                      .flush_interval = index::SqlIndexOptions{}.flush_interval,
                                      .query_timeout = index::SqlIndexOptions{}.query_timeout,
                                      .pending_max = index::SqlIndexOptions{}.pending_max,
                                      .broken = index::Broken::replaced});
  if (index) {
    return *std::move(index);
  }
  trouble = index.error().message;
  parts.log.error("the index is kept in memory only: access times and pins end with the process",
                  {{"reason", trouble}});
  return index::make_memory_index(parts.clock);
}

/// Waits, but not when told to stop.
void rest(const std::stop_token& stop, std::chrono::milliseconds time) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
}

/// From when on files may not be as the index says.
std::optional<index::Time> changed_since(const index::State& seen, WallTimeMs compared) {
  return seen.complete ? compared - kCompareMargin : seen.since;
}

} // namespace

Result<Storage::Backends> Storage::Backends::of(std::unique_ptr<blob::Backend> root) {
  Backends backends;
  TRY_ASSIGN(backends.content, root->make_space(kContentSpace));
  TRY_ASSIGN(backends.fetch, root->make_space(kFetchSpace));
  backends.polykit = std::move(root);
  return backends;
}

Storage::Storage(const config::Settings& settings,
                 StorageParts parts,
                 Backends backends,
                 locks::LockFile key_lock_file)
    : parts_(parts),
      backends_(std::move(backends)),
      key_lock_file_(std::move(key_lock_file)),
      key_locks_(&key_lock_file_),
      index_(open_index(settings, parts, index_trouble_)),
      room_(room_limits(settings)),
      polykit_(make_space(settings, *backends_.polykit, kPolykitSpace, {.cache_divisor = 2})),
      content_(make_space(
          settings, *backends_.content, kContentSpace, {.blobs = store::Blobs::addressed})),
      fetch_(make_space(settings,
                        *backends_.fetch,
                        kFetchSpace,
                        {.overwrite = store::Overwrite::yes, .blobs = store::Blobs::encoded})),
      contents_({.objects = *content_.store,
                 .backend = *backends_.content,
                 .decoders = decoders_,
                 .encoders = encoders_,
                 .catalog = content_.catalog.get()}),
      fetch_records_({.objects = *fetch_.store,
                      .backend = *backends_.fetch,
                      .decoders = decoders_,
                      .encoders = encoders_}),
      archive_({.records = fetch_records_,
                .contents = contents_,
                .clock = parts.clock,
                .log = parts.log,
                .index = index_.get(),
                .content_space = kContentSpace}),
      evictor_({.backend = *backends_.polykit,
                .index = *index_,
                .room = room_,
                .clock = parts.clock,
                .log = parts.log,
                .metrics = parts.metrics},
               {.unused_max = std::chrono::floor<std::chrono::seconds>(settings.max_age),
                .tick = store::EvictorOptions{}.tick,
                .batch = store::EvictorOptions{}.batch}),
      inventory_({.backend = *backends_.polykit,
                  .index = *index_,
                  .room = room_,
                  .clock = parts.clock,
                  .log = parts.log,
                  .metrics = parts.metrics},
                 std::chrono::floor<std::chrono::seconds>(settings.max_age)),
      index_job_("index", [this](const std::stop_token& stop) { run_index_job(stop); }),
      eviction_job_("eviction", [this](const std::stop_token& stop) { evictor_.run(stop); }) {
  evictor_.add_space(std::string(kPolykitSpace), *polykit_.store);
  if (settings.fetch_evict) {
    evictor_.add_space(std::string(kContentSpace), *content_.store);
    evictor_.add_space(std::string(kFetchSpace),
                       [this](const store::Key& key) { return archive_.remove(key); });
  }
  fill_inventory(settings.fetch_evict ? store::Evictable::yes : store::Evictable::no);
}

void Storage::fill_inventory(store::Evictable downloads) {
  inventory_.add_space(
      {.catalog = *polykit_.catalog, .store = *polykit_.store, .backend = *backends_.polykit});
  inventory_.add_space({.catalog = *content_.catalog,
                        .store = *content_.store,
                        .backend = *backends_.content,
                        .evictable = downloads});
  inventory_.add_space({.catalog = *fetch_.catalog,
                        .store = *fetch_.store,
                        .backend = *backends_.fetch,
                        .evictable = downloads,
                        .remove = [this](const store::Key& key) { return archive_.remove(key); }});
  inventory_.set_archive(archive_);
}

Storage::Space Storage::make_space(const config::Settings& settings,
                                   blob::Backend& backend,
                                   std::string_view name,
                                   SpaceKind kind) {
  Space space;
  space.catalog = std::make_unique<store::Catalog>(store::CatalogParts{.backend = backend,
                                                                       .key_locks = key_locks_,
                                                                       .index = *index_,
                                                                       .room = room_,
                                                                       .log = parts_.log},
                                                   std::string(name));
  store::StoreOptions options = store_options(settings, key_locks_);
  // One setting for all of them: half of it for artifacts, the rest for what is downloaded.
  options.entry_cache_max = std::max<std::size_t>(options.entry_cache_max / kind.cache_divisor, 1);
  options.open_files_max /= kind.cache_divisor;
  options.overwrite = kind.overwrite;
  options.blobs = kind.blobs;
  options.catalog = space.catalog.get();
  space.store =
      store::make_content_store(backend, parts_.clock, parts_.log, parts_.metrics, options);
  return space;
}

std::vector<store::ScrubSpace> Storage::scrub_spaces() {
  return {{std::string(kPolykitSpace), *backends_.polykit, *polykit_.store},
          {std::string(kContentSpace), *backends_.content, *content_.store},
          {std::string(kFetchSpace), *backends_.fetch, *fetch_.store}};
}

Result<void> Storage::begin_books() {
  for (Space* const space : spaces()) {
    if (!space->begun) {
      TRY(space->catalog->begin());
      space->begun = true;
    }
  }
  return {};
}

Result<std::unique_ptr<Storage>> Storage::open(const config::Settings& settings,
                                               StorageParts parts,
                                               UniqueFd inherited_lock) {
  TRY_ASSIGN(auto root, open_backend(disk_options(settings, std::move(inherited_lock))));
  TRY_ASSIGN(auto backends, Backends::of(std::move(root)));
  TRY_ASSIGN(locks::LockFile key_lock_file,
             locks::LockFile::open(settings.storage_dir + '/' + std::string(blob::kKeyLockFile)));
  return std::unique_ptr<Storage>(
      new Storage(settings, parts, std::move(backends), std::move(key_lock_file)));
}

Result<std::unique_ptr<Storage>> Storage::open_beside(const config::Settings& settings,
                                                      StorageParts parts) {
  TRY_ASSIGN(auto root,
             blob::open_disk_backend(posix_file_system(), disk_options(settings, UniqueFd())));
  TRY_ASSIGN(auto backends, Backends::of(std::move(root)));
  TRY_ASSIGN(locks::LockFile key_lock_file,
             locks::LockFile::open(settings.storage_dir + '/' + std::string(blob::kKeyLockFile)));
  return std::unique_ptr<Storage>(
      new Storage(settings, parts, std::move(backends), std::move(key_lock_file)));
}

Result<store::CompareProgress> Storage::compare(std::optional<index::Time> since,
                                                const store::Catalog::Report& report) {
  const index::State seen = index_->state();
  store::CompareProgress progress;
  TRY(compare_spaces(since, {}, [&](const store::CompareProgress& now) {
    progress = now;
    report(now);
  }));
  TRY_ASSIGN(const bool complete, index_->mark_complete(seen));
  if (!complete) {
    return fail(Errc::unavailable, "the index was damaged meanwhile");
  }
  return progress;
}

/// One space after the other, with one report. False when it was stopped.
Result<bool> Storage::compare_spaces(std::optional<index::Time> since,
                                     const std::stop_token& stop,
                                     const store::Catalog::Report& report) {
  store::CompareProgress before;
  for (const Space* const space : spaces()) {
    store::CompareProgress sum;
    TRY_ASSIGN(const bool whole,
               space->catalog->compare(since, stop, [&](const store::CompareProgress& now) {
                 sum = {.shards = before.shards + now.shards,
                        .shards_done = before.shards_done + now.shards_done,
                        .objects = before.objects + now.objects,
                        .added = before.added + now.added,
                        .removed = before.removed + now.removed};
                 report(sum);
               }));
    if (!whole) {
      return false;
    }
    before = sum.shards == 0 ? before : sum;
  }
  return archive_.describe(stop);
}

/// False when one of them was too busy.
bool Storage::settle() {
  bool settled = true;
  for (const Space* const space : spaces()) {
    settled = space->catalog->settle().value_or(false) && settled;
  }
  return settled;
}

Storage::~Storage() {
  index_job_.request_stop();
  eviction_job_.request_stop();
}

void Storage::start_jobs() {
  // Here, so that in the usual case what was stored before counts before the first upload.
  books_begun_ = begin_books().has_value();
  index_job_.start();
  eviction_job_.start();
}

void Storage::run_index_job(const std::stop_token& stop) {
  while (!books_begun_ && !stop.stop_requested()) { // somebody else has locked the database
    books_begun_ = begin_books().has_value();
    rest(stop, kStepInterval);
  }
  keep_in_step(stop);
}

bool Storage::is_due(const index::State& seen, SteadyTime next) const {
  return seen.available && (!seen.complete || compare_asked_ || parts_.clock.steady_now() >= next);
}

void Storage::keep_in_step(const std::stop_token& stop) {
  WallTimeMs compared = parts_.clock.wall_now_ms();
  SteadyTime next = parts_.clock.steady_now() + kCompareInterval;
  bool settled = true;
  bool described = false; // an index of an older version knows no sources
  while (!stop.stop_requested()) {
    const index::State seen = index_->state();
    if (seen.available && !described) {
      described = archive_.describe(stop).value_or(false);
    }
    const bool asked = seen.available && rebuild_.take();
    if (asked || is_due(seen, next)) {
      compare_asked_ = false; // whoever asks from here on wants another one
      const WallTimeMs begun = parts_.clock.wall_now_ms();
      const bool done = asked ? rebuild_index(seen, stop)
                              : bring_in_step(seen, changed_since(seen, compared), stop, {});
      compared = done ? begun : compared;
      next = parts_.clock.steady_now() + (done ? kCompareInterval : kCompareRetry);
      settled = false;
      rest(stop, done ? kStepInterval : kCompareRetry);
    }
    if (!settled) {
      settled = settle();
    }
    rest(stop, kStepInterval);
  }
}

bool Storage::rebuild_index(const index::State& seen, const std::stop_token& stop) {
  const bool done =
      bring_in_step(seen, std::nullopt, stop, [this](const store::CompareProgress& now) {
        rebuild_.report(now);
      });
  rebuild_.end(done);
  return done;
}

/// Compares what has changed `since`, or everything.
bool Storage::bring_in_step(const index::State& seen,
                            std::optional<index::Time> since,
                            const std::stop_token& stop,
                            const store::Catalog::Report& report) {
  store::CompareProgress progress;
  const auto whole = compare_spaces(since, stop, [&](const store::CompareProgress& now) {
    progress = now;
    if (report) {
      report(now);
    }
  });
  auto marked = whole && *whole ? Result<bool>(true) : Result<bool>(false);
  if (*marked && !seen.complete) {
    marked = index_->mark_complete(seen);
  }
  if (!whole || !marked) {
    parts_.log.warn("the index could not be compared with the files; trying again later",
                    {{"reason", whole ? marked.error().message : whole.error().message}});
    return false;
  }
  if (progress.added > 0 || progress.removed > 0) {
    parts_.log.info(
        "the index has been brought in step with the files",
        {{"objects", progress.objects}, {"added", progress.added}, {"removed", progress.removed}});
  }
  return *marked;
}

} // namespace pkc::app
