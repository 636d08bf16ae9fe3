#include "pkc/store/evictor.hpp"

#include "pkc/store/key.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace pkc::store {

namespace {

using index::Object;

/// Often enough for a limit that is counted in days.
constexpr std::chrono::minutes kLookInterval{1};

} // namespace

Evictor::Evictor(EvictorParts parts, EvictorOptions options) : parts_(parts), options_(options) {}

void Evictor::add_space(std::string space, ContentStore& store) {
  add_space(std::move(space), [&store](const Key& key) { return store.remove(key); });
}

void Evictor::add_space(std::string space, Remove remove) {
  const auto counter = [&](std::string_view reason) {
    return &parts_.metrics.counter("polykit_cache_evicted_objects_total",
                                   "Objects that were let go.",
                                   {{"space", space}, {"reason", reason}});
  };
  Space added{
      .remove = std::move(remove), .for_room = counter("room"), .unused = counter("unused")};
  spaces_.emplace(std::move(space), std::move(added));
}

void Evictor::run(const std::stop_token& stop) {
  ask_disk();
  while (!stop.stop_requested()) {
    if (const auto demand = parts_.room.wait_for_demand(stop, options_.tick)) {
      meet(*demand, stop);
    }
    ask_disk();
    look_for_unused(stop);
  }
}

void Evictor::ask_disk() {
  if (!parts_.room.watches_disk()) {
    return;
  }
  if (const auto space = parts_.backend.space()) {
    parts_.room.set_disk_available(space->available);
  } else {
    parts_.log.warn("the disk does not tell what is left on it",
                    {{"reason", space.error().message}});
  }
}

void Evictor::meet(const Demand& demand, const std::stop_token& stop) {
  const auto evicted = evict(demand, stop);
  if (evicted && evicted->objects > 0) {
    complaining_ = false;
    parts_.log.debug("evicted for room",
                     {{"objects", evicted->objects}, {"bytes", evicted->bytes}});
    return;
  }
  parts_.room.give_up(demand);
  if (!std::exchange(complaining_, true)) { // once, not for every upload
    const std::string reason =
        evicted ? "nothing is left that may go" : std::string(evicted.error().message);
    parts_.log.error("there is no room for more, and uploads fail",
                     {{"space", demand.space}, {"bytes", demand.bytes}, {"reason", reason}});
  }
}

/// Of one space, or of all.
Result<std::vector<Object>> Evictor::oldest(std::string_view space) {
  std::vector<Object> found;
  for (const auto& [name, added] : spaces_) {
    if (space.empty() || space == name) {
      TRY_ASSIGN(auto objects, parts_.index.oldest(name, options_.batch));
      std::ranges::move(objects, std::back_inserter(found));
    }
  }
  std::ranges::stable_sort(found, {}, &Object::accessed_at);
  found.resize(std::min(found.size(), options_.batch));
  return found;
}

/// False when it was gone already.
Result<bool> Evictor::remove(const Object& object, Reason reason) {
  const Space& space = spaces_.find(object.space)->second;
  const auto key = Key::parse_hex(object.key);
  if (!key) { // a row that nobody of ours wrote
    parts_.index.note_removed(object.space, object.key);
    return false;
  }
  TRY_ASSIGN(const bool removed, space.remove(*key));
  if (removed) {
    (reason == Reason::room ? space.for_room : space.unused)->add();
  } else {
    parts_.index.note_removed(object.space, object.key);
  }
  return removed;
}

/// Removes one object after the other, least recently used first, as long as `goes` says so of the
/// next.
Result<Evicted> Evictor::evict_while(std::string_view space,
                                     Reason reason,
                                     const Goes& goes,
                                     const std::stop_token& stop) {
  Evicted evicted;
  for (bool any = true; any;) {
    any = false;
    TRY(parts_.index.flush()); // else reads of the last seconds would not count
    TRY_ASSIGN(const auto chosen, oldest(space));
    for (const Object& object : chosen) {
      if (!goes(object, evicted) || stop.stop_requested()) {
        return evicted;
      }
      const auto removed = remove(object, reason);
      if (!removed) {
        parts_.log.error("an object cannot be evicted",
                         {{"key", object.key}, {"reason", removed.error().message}});
        continue;
      }
      any = true; // also when it was gone: its row is, too
      if (*removed) {
        ++evicted.objects;
        evicted.bytes += object.disk_size;
      }
    }
  }
  return evicted;
}

Result<Evicted> Evictor::evict(const Demand& demand, const std::stop_token& stop) {
  const auto goes = [&](const Object& /*next*/, const Evicted& evicted) {
    return evicted.bytes < demand.bytes;
  };
  return evict_while(demand.space, Reason::room, goes, stop);
}

Result<Evicted> Evictor::evict_unused(index::Time time, const std::stop_token& stop) {
  const auto goes = [&](const Object& next, const Evicted& /*evicted*/) {
    return next.accessed_at < time;
  };
  return evict_while("", Reason::unused, goes, stop);
}

Result<Evicted> Evictor::collect(const Collection& wanted) {
  const auto in_time = [&] { return parts_.clock.steady_now() < wanted.until; };
  Evicted all;
  if (wanted.unused_since) {
    const auto unused = [&](const Object& next, const Evicted& /*evicted*/) {
      return next.accessed_at < *wanted.unused_since && in_time();
    };
    TRY_ASSIGN(all, evict_while(wanted.space, Reason::unused, unused, {}));
  }
  if (all.bytes < wanted.bytes) {
    const auto for_room = [&](const Object& /*next*/, const Evicted& evicted) {
      return all.bytes + evicted.bytes < wanted.bytes && in_time();
    };
    TRY_ASSIGN(const Evicted more, evict_while(wanted.space, Reason::room, for_room, {}));
    all.objects += more.objects;
    all.bytes += more.bytes;
  }
  return all;
}

void Evictor::look_for_unused(const std::stop_token& stop) {
  if (options_.unused_max.count() == 0 || parts_.clock.steady_now() < next_look_) {
    return;
  }
  next_look_ = parts_.clock.steady_now() + kLookInterval;
  const auto evicted = evict_unused(parts_.clock.wall_now_ms() - options_.unused_max, stop);
  if (!evicted) {
    parts_.log.warn("what is unused cannot be looked for", {{"reason", evicted.error().message}});
  } else if (evicted->objects > 0) {
    parts_.log.info("evicted what nobody has used",
                    {{"objects", evicted->objects}, {"bytes", evicted->bytes}});
  }
}

} // namespace pkc::store
