#include "pkc/store/inventory.hpp"

#include <utility>

namespace pkc::store {

namespace {

ByteCount excess(ByteCount taken, ByteCount max) {
  return taken > max ? taken - max : 0;
}

/// Where eviction ends; a limit that is not set asks for nothing.
ByteCount excess_over_limit(ByteCount taken, ByteCount max, unsigned percent) {
  return max == 0 ? 0 : excess(taken, max / 100 * percent + max % 100 * percent / 100);
}

} // namespace

void Inventory::add_space(InventorySpace space) {
  const std::string name = space.catalog.space();
  if (spaces_.empty()) {
    default_space_ = name;
  }
  spaces_.emplace(name, std::move(space));
}

Result<Stats> Inventory::stats() {
  TRY(parts_.index.flush());
  const RoomLimits& limits = parts_.room.limits();
  Stats stats;
  stats.taken = parts_.room.taken();
  stats.size_max = limits.size_max;
  stats.disk_free_min = limits.disk_free_min;
  stats.unused_max = unused_max_;
  stats.index = parts_.index.state();
  for (const auto& [name, space] : spaces_) {
    TRY_ASSIGN(const index::Totals totals, parts_.index.totals(name));
    const auto limit = limits.space_size_max.find(name);
    stats.spaces.push_back({.space = name,
                            .totals = totals,
                            .taken = parts_.room.taken(name),
                            .size_max = limit == limits.space_size_max.end() ? 0 : limit->second,
                            .reads = space.catalog.reads()});
  }
  TRY_ASSIGN(stats.downloads, parts_.index.source_totals(kArchiveSpace));
  if (const auto disk = parts_.backend.space()) {
    stats.disk = *disk;
  }
  return stats;
}

Result<Page> Inventory::list(const ListQuery& query) {
  TRY(parts_.index.flush());
  return parts_.index.list(query);
}

Result<SourcePage> Inventory::list_sources(const SourceQuery& query) {
  TRY(parts_.index.flush());
  return parts_.index.list_sources(query);
}

Result<std::optional<SourceRow>> Inventory::find_source(std::string_view key) {
  TRY(parts_.index.flush());
  return parts_.index.find_source(kArchiveSpace, key);
}

std::optional<Sidecar> Inventory::sidecar_of(std::string_view space, std::string_view key) {
  const auto known = spaces_.find(space);
  if (known == spaces_.end()) { // of a row that another version has written
    return std::nullopt;
  }
  const auto read = known->second.backend.read_sidecar(key, kSidecarSizeMax);
  const std::optional<std::string> text = read ? *read : std::nullopt;
  if (!text) {
    return std::nullopt;
  }
  auto sidecar = parse_sidecar(*text);
  return sidecar ? std::optional(*std::move(sidecar)) : std::nullopt;
}

Result<std::optional<Facts>> Inventory::find(std::string_view space, std::string_view key) {
  TRY(parts_.index.flush());
  TRY_ASSIGN(auto object, parts_.index.find(space, key));
  const auto parsed = Key::parse_hex(key); // else nobody of ours wrote the row
  if (!object || !parsed) {
    return std::nullopt;
  }
  return Facts{.object = *std::move(object), .sidecar = sidecar_of(space, parsed->id())};
}

Result<bool> Inventory::remove(std::string_view space, std::string_view key) {
  const auto found = spaces_.find(space);
  const auto parsed = Key::parse_hex(key);
  if (found == spaces_.end() || !parsed) {
    return false;
  }
  const InventorySpace& known = found->second;
  return known.remove ? known.remove(*parsed) : known.store.remove(*parsed);
}

Result<bool> Inventory::set_pinned(std::string_view space, std::string_view key, Pinned pinned) {
  return parts_.index.set_pinned(space, key, pinned);
}

/// What is wanted, in turn: what goes for one of them counts for the next.
std::vector<Inventory::Goal> Inventory::plan(const CollectOrder& order) {
  const RoomLimits& limits = parts_.room.limits();
  std::vector<Goal> goals;
  const auto add = [&](const std::string& space, std::function<ByteCount()> lack) {
    goals.push_back({.wanted = {.space = space}, .lack = std::move(lack)});
  };
  const bool by_limits = !order.size_max && !order.unused_max;
  if (order.unused_max || (by_limits && unused_max_.count() > 0)) {
    const std::chrono::milliseconds age = order.unused_max.value_or(unused_max_);
    goals.push_back(
        {.wanted = {.space = order.space, .unused_since = parts_.clock.wall_now_ms() - age}});
  }
  if (order.size_max) {
    add(order.space,
        [this, &order] { return excess(parts_.room.taken(order.space), *order.size_max); });
  }
  if (!by_limits) {
    return goals;
  }
  for (const auto& [space, max] : limits.space_size_max) {
    if (order.space.empty() || order.space == space) {
      add(space, [this, space, max, &limits] {
        return excess_over_limit(parts_.room.taken(space), max, limits.evict_to);
      });
    }
  }
  add(order.space, [this, &limits] {
    return excess_over_limit(parts_.room.taken(), limits.size_max, limits.evict_to);
  });
  add(order.space, [this, &limits] {
    const auto disk = parts_.backend.space();
    return disk ? excess(limits.disk_free_min, disk->available) : 0;
  });
  return goals;
}

Result<Collected> Inventory::collect(const CollectOrder& order) {
  Evictor evictor({.backend = parts_.backend,
                   .index = parts_.index,
                   .room = parts_.room,
                   .clock = parts_.clock,
                   .log = parts_.log,
                   .metrics = parts_.metrics},
                  {});
  for (const auto& [name, space] : spaces_) {
    if (space.evictable != Evictable::yes && name != order.space) {
      continue;
    }
    if (space.remove) {
      evictor.add_space(name, space.remove);
    } else {
      evictor.add_space(name, space.store);
    }
  }
  const SteadyTime until = parts_.clock.steady_now() + order.time_max;
  Collected collected;
  for (Goal& goal : plan(order)) {
    goal.wanted.until = until;
    goal.wanted.bytes = goal.lack ? goal.lack() : 0;
    TRY_ASSIGN(const Evicted evicted, evictor.collect(goal.wanted));
    collected.evicted.objects += evicted.objects;
    collected.evicted.bytes += evicted.bytes;
  }
  collected.finished = parts_.clock.steady_now() < until;
  return collected;
}

} // namespace pkc::store
