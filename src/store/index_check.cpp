#include "index_check.hpp"

#include "examination.hpp"

#include "pkc/index/reconcile.hpp"
#include "pkc/store/key.hpp"
#include "pkc/store/room.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace pkc::store {

namespace {

using locks::KeyLocks;

/// About 10 MiB of them. To settle some takes a server beside us seconds, however many they are.
constexpr std::size_t kSuspicionsMax = 100'000;

index::Time time_of(std::int64_t mtime_ns) {
  return index::Time(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::nanoseconds(mtime_ns)));
}

bool agree(const index::Object& row, ByteCount size) {
  return row.size == size && row.disk_size == disk_size_of(size);
}

std::string counted(ByteCount size) {
  return std::to_string(size) + " bytes";
}

} // namespace

IndexCheck::IndexCheck(const FsckTarget& target, Repair repair, std::stop_token stop, Tell tell)
    : target_(target),
      repair_(repair),
      stop_(std::move(stop)),
      tell_(std::move(tell)),
      begun_(target.clock.wall_now_ms()) {}

bool IndexCheck::compares() const {
  return target_.index != nullptr && skipped_.lock()->reason.empty() && !stop_.stop_requested();
}

/// The first reason stays.
void IndexCheck::skip(std::string reason, bool failed) {
  auto skipped = skipped_.lock();
  if (skipped->reason.empty()) {
    *skipped = {.reason = std::move(reason), .failed = failed};
  }
}

void IndexCheck::fail_with(const Error& error) {
  skip(error.message, true);
}

void IndexCheck::begin() {
  if (target_.index == nullptr) {
    return;
  }
  const Result<void> open = target_.index->flush();
  auto problems = open ? target_.index->check() : std::unexpected(open.error());
  if (!problems && problems.error().code != Errc::corrupt) {
    fail_with(problems.error());
    return;
  }
  if (!problems) {
    heal_structure(problems.error().message);
  } else if (!problems->empty()) {
    const std::size_t more = problems->size() - 1;
    heal_structure(problems->front() +
                   (more > 0 ? " (and " + std::to_string(more) + " more)" : ""));
  }
  if (compares()) {
    see_how_complete();
  }
}

void IndexCheck::heal_structure(std::string detail) {
  const Result<void> healed = repair_ == Repair::yes ? target_.index->repair() : Result<void>();
  changed_ = repair_ == Repair::yes;
  tell_(nullptr, Fault::broken_index, std::string(target_.index_name), std::move(detail), healed);
  if (repair_ == Repair::no || !healed) {
    skip("it is damaged", false);
  }
}

/// One that knows itself that it does not know all: the server does this work when it runs.
void IndexCheck::see_how_complete() {
  const index::State state = target_.index->state();
  if (state.complete) {
    return;
  }
  if (!state.since) {
    skip("it is new, and the server fills it from the files when it runs", false);
    return;
  }
  behind_since_ = state.since;
}

/// What a crash has left out of the index is no drift: the server will look for it.
bool IndexCheck::is_known_to_be_behind(const FsckSpace& space, const std::string& shard) const {
  if (!behind_since_ || repair_ == Repair::yes) {
    return false;
  }
  const auto directory = space.backend.stat_shard(shard);
  return !directory || !*directory || time_of((*directory)->mtime_ns) >= *behind_since_;
}

void IndexCheck::check_shard(const FsckSpace& space,
                             const std::string& shard,
                             const ShardFiles& files) {
  if (!compares() || is_known_to_be_behind(space, shard)) {
    return;
  }
  const auto rows = target_.index->with_prefix(space.name, shard);
  if (!rows) {
    fail_with(rows.error());
    return;
  }
  std::vector<Suspicion> found;
  auto file = files.healthy.begin();
  const auto skip_to = [&](std::string_view key) {
    for (; file != files.healthy.end() && file->first < key; ++file) {
      found.push_back({.space = &space, .fault = Fault::not_in_index, .name = file->first});
    }
  };
  for (const index::Object& row : *rows) {
    skip_to(row.key);
    if (file == files.healthy.end() || file->first != row.key) {
      if (!files.others.contains(row.key)) {
        found.push_back({.space = &space, .fault = Fault::only_in_index, .name = row.key});
      }
      continue;
    }
    if (!agree(row, file->second)) {
      found.push_back({.space = &space, .fault = Fault::wrong_in_index, .name = row.key});
    }
    ++file;
  }
  skip_to("\x7f"); // behind all keys
  suspect(std::move(found));
}

void IndexCheck::suspect(std::vector<Suspicion> suspicions) {
  std::vector<Suspicion> full;
  {
    auto all = suspicions_.lock();
    std::ranges::move(suspicions, std::back_inserter(*all));
    if (all->size() >= kSuspicionsMax) {
      full = std::exchange(*all, {});
    }
  }
  settle(std::move(full));
}

bool IndexCheck::server_runs() const {
  const auto lock = target_.upkeep.try_lock();
  return lock && !*lock;
}

/// Somebody who holds the directory and does not show up in the index keeps another one, or lives
/// in another container under our own number.
Result<void> IndexCheck::await_others() {
  TRY_ASSIGN(const std::size_t others, target_.index->await_others());
  if (others == 0 && server_runs()) {
    return fail(Errc::unavailable, "the server that uses the directory does not use this index");
  }
  return {};
}

void IndexCheck::settle(std::vector<Suspicion> suspicions) {
  if (suspicions.empty() || !compares()) {
    return;
  }
  const index::Time now = target_.clock.wall_now_ms();
  for (const Suspicion& suspicion : suspicions) {
    // Who has just published or removed it has not noted that before he lets go of the lock.
    if (const auto held = target_.key_locks.acquire(suspicion.name, KeyLocks::Mode::shared);
        !held) {
      fail_with(held.error());
      return;
    }
  }
  if (const auto awaited = await_others(); !awaited) {
    fail_with(awaited.error());
    return;
  }
  const std::span<const Suspicion> all(suspicions);
  for (std::size_t at = 0; at < all.size() && compares(); at += index::Index::kFoundBatch) {
    settle_batch(all.subspan(at, std::min(index::Index::kFoundBatch, all.size() - at)), now);
  }
}

void IndexCheck::settle_batch(std::span<const Suspicion> suspicions, index::Time now) {
  std::vector<Drift> drifts;
  for (const Suspicion& suspicion : suspicions) {
    if (stop_.stop_requested()) {
      break;
    }
    const auto confirmed = confirm(suspicion, now);
    if (!confirmed) {
      fail_with(confirmed.error());
      break;
    }
    if (const std::optional<Drift>& drift = *confirmed; drift) {
      drifts.push_back(*drift);
    }
  }
  if (drifts.empty()) {
    return;
  }
  Result<void> written;
  if (repair_ == Repair::yes) {
    changed_ = true;
    written = target_.index->flush();
  }
  if (!written) {
    fail_with(written.error());
  }
  std::erase_if(drifts, [](const Drift& drift) { return drift.of.told; });
  for (Drift& drift : drifts) {
    tell_(
        drift.of.space, drift.of.fault, std::move(drift.of.name), std::move(drift.detail), written);
  }
}

/// Nothing when it was none. Healed by a note, still to be written.
Result<std::optional<IndexCheck::Drift>> IndexCheck::confirm(const Suspicion& suspicion,
                                                             index::Time now) {
  const bool repairs = repair_ == Repair::yes;
  const FsckSpace& space = *suspicion.space;
  TRY_ASSIGN(const auto held,
             target_.key_locks.acquire(
                 suspicion.name, repairs ? KeyLocks::Mode::exclusive : KeyLocks::Mode::shared));
  TRY_ASSIGN(const auto row, target_.index->find(space.name, suspicion.name));
  const auto key = Key::parse_hex(suspicion.name);
  Examined seen;
  std::optional<FileStat> blob;
  if (key) {
    seen = examine_pair(space, *key);
    TRY_ASSIGN(blob, space.backend.stat(key->id()));
  }
  Drift drift{.of = suspicion, .detail = {}};
  if (seen.state == Examined::State::absent) {
    if (!row || suspicion.fault != Fault::only_in_index) {
      return std::nullopt;
    }
    if (repairs) {
      target_.index->note_removed(space.name, suspicion.name);
    }
    return drift;
  }
  if (seen.state != Examined::State::healthy || !blob || (row && agree(*row, seen.size)) ||
      suspicion.fault != (row ? Fault::wrong_in_index : Fault::not_in_index) ||
      time_of(blob->mtime_ns) >= now) { // stored since
    return std::nullopt;
  }
  drift.detail = counted(seen.size) + (row ? ", in the index " + counted(row->size) : "");
  if (repairs) {
    target_.index->note_found({.space = space.name,
                               .key = suspicion.name,
                               .size = seen.size,
                               .disk_size = disk_size_of(seen.size),
                               .stored_at = time_of(blob->mtime_ns)});
  }
  return drift;
}

void IndexCheck::removed(const FsckSpace& space, std::string_view name) {
  changed_ = true;
  if (target_.index == nullptr) {
    return;
  }
  target_.index->note_removed(space.name, name);
  // A server that has just stored it may write so only after us.
  suspicions_.lock()->push_back(
      {.space = &space, .fault = Fault::only_in_index, .name = std::string(name), .told = true});
  if (++removed_ % index::Index::kFoundBatch == 0) {
    if (const auto written = target_.index->flush(); !written) {
      fail_with(written.error());
    }
  }
}

/// Rows of shards that have no directory any more.
Result<void> IndexCheck::check_vanished_shards(const FsckSpace& space,
                                               const std::vector<std::string>& shards) {
  TRY_ASSIGN(const auto with_rows,
             index::shards_with_rows(*target_.index, space.name, blob::kShardSize));
  for (const std::string& shard : with_rows) {
    if (!std::ranges::binary_search(shards, shard)) {
      check_shard(space, shard, {});
    }
  }
  return {};
}

void IndexCheck::finish(std::span<const std::vector<std::string>> shards) {
  if (target_.index == nullptr) {
    return;
  }
  for (std::size_t at = 0; at < shards.size() && compares(); ++at) {
    const auto checked = check_vanished_shards(target_.spaces[at], shards[at]);
    if (!checked) {
      fail_with(checked.error());
    }
  }
  if (compares()) {
    settle(std::exchange(*suspicions_.lock(), {}));
  }
  if (!changed_) {
    return;
  }
  // A server keeps account of the room that is taken, and compares once more to correct it.
  const auto told = server_runs() ? target_.index->mark_incomplete(begun_) : target_.index->flush();
  if (!told) {
    fail_with(told.error());
  }
}

} // namespace pkc::store
