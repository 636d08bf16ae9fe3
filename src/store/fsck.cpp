#include "pkc/store/fsck.hpp"

#include "examination.hpp"
#include "index_check.hpp"

#include "pkc/base/guarded.hpp"
#include "pkc/store/key.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

namespace pkc::store {

namespace {

using locks::KeyLocks;

constexpr std::array<std::string_view, kFaults> kFaultNames = {
    "orphan blob",
    "orphan sidecar",
    "torn sidecar",
    "oversize sidecar",
    "foreign sidecar",
    "wrong size",
    "wrong content",
    "wrong type",
    "unreadable",
    "misplaced",
    "stale upload",
    "broken index",
    "not in index",
    "only in index",
    "wrong in index",
    "empty shard",
    "content gone",
    "stranger",
};

constexpr std::array<std::string_view, 2> kSuffixes = {".zst", ".json"};

/// The key that a file's name would be of.
std::optional<Key> key_of(std::string_view path) {
  path.remove_prefix(path.rfind('/') + 1);
  for (const std::string_view suffix : kSuffixes) {
    if (path.ends_with(suffix)) {
      path.remove_suffix(suffix.size());
      return Key::parse_hex(path);
    }
  }
  return std::nullopt;
}

/// One run. Thread-safe, but for run().
class Fsck {
 public:
  Fsck(const FsckTarget& target,
       const FsckOptions& options,
       FsckObserver& observer,
       std::stop_token stop)
      : target_(target),
        options_(options),
        observer_(observer),
        stop_(std::move(stop)),
        index_(target,
               options.repair,
               stop_,
               [this](const FsckSpace* space,
                      Fault fault,
                      std::string subject,
                      std::string detail,
                      const Result<void>& healed) {
                 report(
                     space, fault, std::move(subject), std::move(detail), [&] { return healed; });
               }) {}

  Result<FsckSummary> run();

 private:
  using ShardFiles = IndexCheck::ShardFiles;

  /// One shard of one space.
  struct Shard {
    std::size_t space = 0; ///< its place among those of the target
    std::string name;
    friend auto operator<=>(const Shard&, const Shard&) = default;
  };

  [[nodiscard]] Result<std::vector<Shard>> list_shards();
  void check_shards(const std::vector<Shard>& shards);
  void check_shard(const Shard& shard);
  bool check_name(const FsckSpace& space, const std::string& name, ShardFiles& files);
  void check_reference(const FsckSpace& space, const Key& key, const Sha256& content);
  Examined settle(const FsckSpace& space, const Key& key);
  [[nodiscard]] Result<void> heal(const FsckSpace& space, const Key& key, const Examined& seen);
  void check_stranger(const FsckSpace& space, const std::string& shard, const std::string& path);
  void check_wrong_type(const FsckSpace& space, const Key& key, const std::string& path);
  Result<void> check_around();
  void check_upload(const blob::PendingUpload& upload, bool server_runs);
  Result<void> check_uploads_and_empty_shards();
  void check_empty_shard(const Shard& shard, bool server_runs);
  [[nodiscard]] bool may_be_in_progress(const blob::PendingUpload& upload, bool server_runs) const;

  template <typename Heal>
  void report(const FsckSpace* space,
              Fault fault,
              std::string subject,
              std::string detail,
              const Heal& heal);
  void report(const FsckSpace& space, Fault fault, std::string subject, std::string detail = {}) {
    report(&space, fault, std::move(subject), std::move(detail), [] { return Result<void>{}; });
  }
  void count_healthy(const FsckSpace& space, ByteCount size);
  [[nodiscard]] Examined look(const FsckSpace& space, const Key& key) {
    return options_.verify_content == VerifyContent::no
               ? examine_pair(space, key)
               : examine_bytes(space, key, decoders_, [this](std::size_t) {
                   return !stop_.stop_requested();
                 });
  }
  /// What is counted of a space.
  [[nodiscard]] FsckSpaceSummary& of(FsckSummary& summary, const FsckSpace& space) const {
    return summary.spaces.at(static_cast<std::size_t>(&space - target_.spaces.data()));
  }
  [[nodiscard]] Result<std::unique_ptr<KeyLocks::Held>> lock(const std::string& name) const {
    return target_.key_locks.acquire(
        name, repairs() ? KeyLocks::Mode::exclusive : KeyLocks::Mode::shared);
  }
  [[nodiscard]] bool repairs() const { return options_.repair == Repair::yes; }

  const FsckTarget& target_;
  const FsckOptions& options_;
  FsckObserver& observer_;
  std::stop_token stop_;
  std::atomic<std::size_t> next_shard_{0};
  Guarded<FsckSummary> summary_; // held over the observer: it hears one thing at a time
  Guarded<std::vector<Shard>> empty_shards_;
  std::vector<std::vector<std::string>> shards_of_; ///< each space
  ZstdContextPool decoders_;
  IndexCheck index_;
};

Result<std::vector<Fsck::Shard>> Fsck::list_shards() {
  std::vector<Shard> shards;
  for (std::size_t space = 0; space < target_.spaces.size(); ++space) {
    TRY_ASSIGN(auto names, target_.spaces[space].backend.list_shards());
    for (const std::string& name : names) {
      shards.push_back({.space = space, .name = name});
    }
    shards_of_.push_back(std::move(names));
    summary_.lock()->spaces.push_back({.space = std::string(target_.spaces[space].name)});
  }
  summary_.lock()->seen.shards = shards.size();
  return shards;
}

Result<FsckSummary> Fsck::run() {
  TRY_ASSIGN(const auto shards, list_shards());
  index_.begin();
  {
    std::vector<std::jthread> helpers;
    for (std::size_t n = 1; n < options_.jobs; ++n) {
      helpers.emplace_back([&] { check_shards(shards); });
    }
    check_shards(shards);
  }
  if (!stop_.stop_requested()) {
    TRY(check_around());
  }
  index_.finish(shards_of_);
  auto summary = summary_.lock();
  summary->interrupted = stop_.stop_requested();
  summary->index_skipped = index_.skipped();
  summary->index_failed = index_.failed();
  return *summary;
}

void Fsck::check_shards(const std::vector<Shard>& shards) {
  while (!stop_.stop_requested()) {
    const std::size_t next = next_shard_.fetch_add(1);
    if (next >= shards.size()) {
      return;
    }
    check_shard(shards[next]);
    auto summary = summary_.lock();
    ++summary->seen.shards_done;
    observer_.progress(summary->seen);
  }
}

void Fsck::check_shard(const Shard& shard) {
  const FsckSpace& space = target_.spaces[shard.space];
  const auto listing = space.backend.list_shard(shard.name);
  if (!listing) {
    report(space, Fault::unreadable, shard.name, listing.error().message);
    return;
  }
  if (listing->names.empty() && listing->strangers.empty()) {
    empty_shards_.lock()->push_back(shard);
  }
  ShardFiles files;
  for (const blob::ListedName& listed : listing->names) {
    if (!check_name(space, listed.name, files)) {
      return;
    }
  }
  for (const std::string& path : listing->strangers) {
    check_stranger(space, shard.name, path);
    if (const auto key = key_of(path)) {
      files.others.insert(key->id());
    }
  }
  index_.check_shard(space, shard.name, files);
}

/// False when the run is stopped.
bool Fsck::check_name(const FsckSpace& space, const std::string& name, ShardFiles& files) {
  if (stop_.stop_requested()) {
    return false;
  }
  const auto key = Key::parse_hex(name);
  if (!key) {
    report(space, Fault::stranger, name, "is no key");
    return true;
  }
  Examined seen = look(space, *key);
  if (seen.state == Examined::State::faulty) {
    seen = settle(space, *key);
  }
  if (seen.refers_to) {
    check_reference(space, *key, *seen.refers_to);
  }
  if (seen.state == Examined::State::healthy) {
    count_healthy(space, seen.size);
    files.healthy.emplace(name, seen.size);
  } else {
    files.others.insert(name);
  }
  return seen.state != Examined::State::stopped;
}

/// Whether there is something under the key of the content; if that is damaged, it is told of as
/// such. A download stores the content before the record, so there is nothing to wait for.
void Fsck::check_reference(const FsckSpace& space, const Key& key, const Sha256& content) {
  if (examine_pair(*space.contents, Key::of(content)).state == Examined::State::absent) {
    report(space, Fault::content_gone, key.id(), "SHA-256 " + content.hex());
  }
}

/// Looks again at what seemed faulty, and heals it. An upload may have stood between its two
/// renames, so what counts is what is seen under the lock.
Examined Fsck::settle(const FsckSpace& space, const Key& key) {
  const auto held = lock(key.id());
  if (!held) {
    report(space, Fault::unreadable, key.id(), held.error().message);
    return {};
  }
  Examined seen = look(space, key);
  if (seen.state == Examined::State::faulty) {
    report(&space, seen.fault, key.id(), seen.detail, [&] { return heal(space, key, seen); });
  }
  return seen;
}

Result<void> Fsck::heal(const FsckSpace& space, const Key& key, const Examined& seen) {
  if (remedy_of(seen.fault) == Remedy::quarantine) {
    TRY(space.backend.quarantine(key.id(), "fsck: bytes do not match; " + seen.detail + "\n"));
  } else {
    TRY(space.backend.remove(key.id()));
  }
  index_.removed(space, key.id());
  return {};
}

void Fsck::check_stranger(const FsckSpace& space,
                          const std::string& shard,
                          const std::string& path) {
  const auto key = key_of(path);
  if (!key) {
    report(space, Fault::stranger, path);
  } else if (key->id().starts_with(shard)) {
    check_wrong_type(space, *key, path); // else it would be among the names
  } else {
    report(space,
           Fault::misplaced,
           path,
           "belongs in " + key->id().substr(0, 2) + '/' + key->id().substr(2, 2));
  }
}

/// A directory where a file of ours should be: uploads of the key fail until it is gone.
void Fsck::check_wrong_type(const FsckSpace& space, const Key& key, const std::string& path) {
  const auto held = lock(key.id());
  if (!held) {
    report(space, Fault::unreadable, path, held.error().message);
    return;
  }
  const Examined seen = look(space, key);
  const bool unclear = seen.state == Examined::State::stopped ||
                       (seen.state == Examined::State::faulty && seen.fault == Fault::unreadable);
  if (unclear || seen.state == Examined::State::healthy) {
    return;
  }
  report(&space, Fault::wrong_type, path, "is a directory", [&]() -> Result<void> {
    TRY(space.backend.remove(key.id()));
    index_.removed(space, key.id());
    return {};
  });
}

Result<void> Fsck::check_around() {
  for (const FsckSpace& space : target_.spaces) {
    TRY_ASSIGN(const auto strangers, target_.upkeep.list_strangers(space.directory));
    for (const std::string& path : strangers) {
      report(space, Fault::stranger, path);
    }
  }
  TRY(check_uploads_and_empty_shards());
  TRY_ASSIGN(const auto quarantined, target_.upkeep.list_quarantined());
  auto summary = summary_.lock();
  for (const blob::Quarantined& object : quarantined) {
    ++summary->quarantined;
    summary->quarantined_size += object.size;
  }
  return {};
}

Result<void> Fsck::check_uploads_and_empty_shards() {
  TRY_ASSIGN(const auto uploads, target_.upkeep.list_uploads());
  auto empty_shards = std::move(*empty_shards_.lock());
  if (uploads.empty() && empty_shards.empty()) {
    return {}; // nothing to lock a server out for
  }
  std::ranges::sort(empty_shards);
  // A directory that cannot be locked, as it cannot be written, is treated like one in use.
  auto lock = target_.upkeep.try_lock();
  const bool server_runs = !lock || !*lock;
  if (!repairs()) {
    lock = nullptr; // it was only to know
  }
  for (const blob::PendingUpload& upload : uploads) {
    check_upload(upload, server_runs);
  }
  for (const Shard& shard : empty_shards) {
    check_empty_shard(shard, server_runs);
  }
  return {};
}

void Fsck::check_empty_shard(const Shard& shard, bool server_runs) {
  if (server_runs) { // it may be of use in a moment, and harms nobody
    ++summary_.lock()->found.at(static_cast<std::size_t>(Fault::empty_shard));
    return;
  }
  const FsckSpace& space = target_.spaces[shard.space];
  report(&space, Fault::empty_shard, shard.name, "", [&]() -> Result<void> {
    TRY(target_.upkeep.remove_shard(space.directory, shard.name));
    return {};
  });
}

void Fsck::check_upload(const blob::PendingUpload& upload, bool server_runs) {
  if (may_be_in_progress(upload, server_runs)) {
    ++summary_.lock()->uploads;
    return;
  }
  report(nullptr,
         Fault::stale_upload,
         upload.name,
         std::to_string(upload.stat.size) + " bytes",
         [&]() -> Result<void> {
           TRY(target_.upkeep.remove_upload(upload.name));
           return {};
         });
}

bool Fsck::may_be_in_progress(const blob::PendingUpload& upload, bool server_runs) const {
  if (!server_runs) {
    return false;
  }
  const auto changed = std::chrono::nanoseconds(upload.stat.mtime_ns);
  const auto age = target_.clock.wall_now().time_since_epoch() - changed;
  return age < kUploadAgeMin || (upload.process && options_.process_lives(*upload.process));
}

/// Heals, if that is wanted and there is a remedy, counts, and tells the observer.
template <typename Heal>
void Fsck::report(const FsckSpace* space,
                  Fault fault,
                  std::string subject,
                  std::string detail,
                  const Heal& heal) {
  Finding finding{.fault = fault,
                  .space = space == nullptr ? "" : std::string(space->name),
                  .subject = std::move(subject),
                  .detail = std::move(detail),
                  .outcome = Outcome::left,
                  .reason = {}};
  if (repairs() && remedy_of(fault) != Remedy::none) {
    const Result<void> healed = heal();
    finding.outcome = healed ? Outcome::repaired : Outcome::failed;
    finding.reason = healed ? "" : healed.error().message;
  }
  const auto at = static_cast<std::size_t>(fault);
  auto summary = summary_.lock();
  ++summary->found.at(at);
  summary->repaired.at(at) += finding.outcome == Outcome::repaired ? 1U : 0U;
  summary->seen.damages += is_damage(fault) ? 1U : 0U;
  if (space != nullptr) {
    of(*summary, *space).damages += is_damage(fault) ? 1U : 0U;
  }
  observer_.found(finding);
}

void Fsck::count_healthy(const FsckSpace& space, ByteCount size) {
  auto summary = summary_.lock();
  ++of(*summary, space).objects;
  of(*summary, space).size += size;
  ++summary->seen.objects;
  summary->seen.size += size;
}

} // namespace

std::string_view to_string(Fault fault) {
  return kFaultNames.at(static_cast<std::size_t>(fault));
}

bool is_damage(Fault fault) {
  return fault < Fault::empty_shard;
}

Remedy remedy_of(Fault fault) {
  switch (fault) {
    case Fault::orphan_blob:
    case Fault::orphan_sidecar:
    case Fault::torn_sidecar:
    case Fault::oversize_sidecar:
    case Fault::foreign_sidecar:
    case Fault::wrong_size:
    case Fault::wrong_type:
    case Fault::stale_upload:
    case Fault::empty_shard:
      return Remedy::remove;
    case Fault::wrong_content:
      return Remedy::quarantine;
    case Fault::broken_index:
    case Fault::not_in_index:
    case Fault::only_in_index:
    case Fault::wrong_in_index:
      return Remedy::index;
    case Fault::unreadable:
    case Fault::misplaced:
    case Fault::content_gone:
    case Fault::stranger:
      return Remedy::none;
  }
  std::unreachable();
}

std::uint64_t FsckSummary::left() const {
  std::uint64_t left = 0;
  for (std::size_t fault = 0; fault < kFaults; ++fault) {
    left += is_damage(static_cast<Fault>(fault)) ? found.at(fault) - repaired.at(fault) : 0U;
  }
  return left;
}

Result<FsckSummary> check_store(const FsckTarget& target,
                                const FsckOptions& options,
                                FsckObserver& observer,
                                const std::stop_token& stop) {
  return Fsck(target, options, observer, stop).run();
}

} // namespace pkc::store
