// Evictor: lets objects go when there is no room for others, or nobody has used them for long.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/index/index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/room.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::store {

/// What an evictor acts on; all of it outlives it.
struct EvictorParts {
  blob::Backend& backend;
  index::Index& index;
  Room& room;
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

struct EvictorOptions {
  /// An object that nobody has read for this long goes; 0: none does.
  std::chrono::seconds unused_max{0};
  /// How often that is looked for, and the disk is asked for what is left on it.
  std::chrono::milliseconds tick{1'000};
  /// How many objects are chosen at once: so many may be chosen although somebody is just reading
  /// them again.
  std::size_t batch = 64;
};

/// What evict() did.
struct Evicted {
  std::uint64_t objects = 0;
  ByteCount bytes = 0; ///< of the disk
};

/// What somebody wants gone now. An object goes when either says so.
struct Collection {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string space{};                       ///< empty: any
  ByteCount bytes = 0;                       ///< of the disk, least recently used first
  std::optional<index::Time> unused_since{}; ///< what nobody has read since then
  // NOLINTEND(readability-redundant-member-init)
  SteadyTime until = SteadyTime::max(); ///< when to stop in the middle
};

/// Objects go by the order of their last use, pinned ones never. A read in progress goes on; an
/// upload is no object yet. One thread at a time.
class Evictor {
 public:
  Evictor(EvictorParts parts, EvictorOptions options);

  /// A space whose objects may go; the store outlives the evictor. Before run().
  void add_space(std::string space, ContentStore& store);
  /// The same, where something hangs on an object that has to go with it. `remove`: as
  /// ContentStore::remove().
  using Remove = std::function<Result<bool>(const Key& key)>;
  void add_space(std::string space, Remove remove);

  /// Waits for demand and meets it, until it is told to stop. When the index cannot be asked,
  /// nothing goes, and uploads without room fail.
  void run(const std::stop_token& stop);

  /// Meets one demand; less goes when less can. Errors: those of the index.
  Result<Evicted> evict(const Demand& demand, const std::stop_token& stop);
  /// Lets go what nobody has read since `time`. Errors: those of the index.
  Result<Evicted> evict_unused(index::Time time, const std::stop_token& stop);
  /// Lets go what is wanted, until that time. Errors: those of the index.
  Result<Evicted> collect(const Collection& wanted);

 private:
  enum class Reason : std::uint8_t {
    room,
    unused,
  };
  struct Space {
    Remove remove;
    ops::Counter* for_room = nullptr;
    ops::Counter* unused = nullptr;
  };

  using Goes = std::function<bool(const index::Object& next, const Evicted& so_far)>;

  Result<Evicted> evict_while(std::string_view space,
                              Reason reason,
                              const Goes& goes,
                              const std::stop_token& stop);
  void meet(const Demand& demand, const std::stop_token& stop);
  void look_for_unused(const std::stop_token& stop);
  void ask_disk();
  Result<std::vector<index::Object>> oldest(std::string_view space);
  Result<bool> remove(const index::Object& object, Reason reason);

  EvictorParts parts_;
  const EvictorOptions options_;
  std::map<std::string, Space, std::less<>> spaces_;
  SteadyTime next_look_; ///< for what is unused
  bool complaining_ = false;
};

} // namespace pkc::store
