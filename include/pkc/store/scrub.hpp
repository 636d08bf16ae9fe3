// Scrub: verifies every stored object once in a while, in the background.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/content_store.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::store {

struct ScrubSpace {
  std::string name;
  blob::Backend& backend;
  ContentStore& store; ///< of that backend
};

/// What a Scrub works on; all of it outlives it.
struct ScrubTarget {
  FileSystem& file_system;
  std::vector<ScrubSpace> spaces; ///< at least one
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

struct ScrubOptions {
  std::string state_file; ///< whose directory exists
  /// Where it is written before it takes the name: a path on the same disk, to which a number and
  /// `.tmp` are added. Not used by anybody else.
  std::string temp_stem;
  /// In which every object is to be read once; more than 0.
  std::chrono::milliseconds interval{};
};

/// How far a round is. In its file it is one line of JSON, version 1, replaced as a whole at most
/// once a minute and at the end of a round; anything else in there counts as no state:
///
///   {"version":1,"started_at":T,"next_shard":"abcd","next_space":"cas","objects":N,"bytes":N,
///    "corrupt":N,"completed_at":T}
///
/// Times are Unix seconds; completed_at, of the round before, is 0 when there was none; next_shard
/// is empty between rounds. next_space is absent for the first space, so that files are of one form
/// with those of servers that know no other.
struct ScrubState {
  std::int64_t started_at = 0;
  std::string next_shard;
  std::string next_space; ///< empty: the first
  std::uint64_t objects = 0;
  ByteCount bytes = 0;
  std::uint64_t corrupt = 0;
  std::int64_t completed_at = 0;

  friend bool operator==(const ScrubState&, const ScrubState&) = default;
};
std::string format_scrub_state(const ScrubState& state);
/// Nothing when it is torn or not ours.
std::optional<ScrubState> parse_scrub_state(std::string_view text);

/// Reads the objects of all spaces, shard by shard, each when its turn in the interval comes, so
/// that the reads are spread over all of it; when it is late it goes on as fast as its pace allows.
/// What it finds bad is treated as by a read. A round goes on after a restart where it was, a
/// minute back at most. One thread.
class Scrub {
 public:
  Scrub(const ScrubTarget& target, ScrubOptions options);

  /// Does what is due, one shard or the begin or end of a round, and returns how long nothing will
  /// be. `pace` is told of everything read (and of each object, with 0), may block, and stops the
  /// scrub by false; then a later call, or another process, takes up the shard again. Never fails:
  /// what cannot be read now is logged, and read in the next round.
  std::chrono::milliseconds step(const Pace& pace);
  /// Keeps how far it is, for the next process.
  void save();

  [[nodiscard]] const ScrubState& state() const { return state_; }

 private:
  enum class Done : std::uint8_t {
    no,
    yes,
  };
  /// One shard of one space.
  struct Shard {
    std::size_t space = 0; ///< its place among those of the target
    std::string name;
    friend auto operator<=>(const Shard&, const Shard&) = default;
  };

  void load();
  void begin_round();
  void resume_round();
  void end_round();
  bool list_shards();
  Done scrub_shard(const Shard& shard, const Pace& pace);
  /// Where the round goes on, for the state.
  void remember(const Shard& shard);
  [[nodiscard]] Shard remembered() const;
  [[nodiscard]] WallTime due_at(std::size_t position) const;
  [[nodiscard]] std::chrono::milliseconds until(WallTime time) const;
  Result<void> write_state();
  void show_completed();

  ScrubTarget target_;
  ScrubOptions options_;
  ScrubState state_;
  bool resuming_ = false;     ///< a round that another process has begun
  std::vector<Shard> shards_; ///< of this round
  std::size_t position_ = 0;  ///< in them
  SteadyTime next_save_;
  std::uint64_t temp_number_ = 0;
  ops::Counter& objects_;
  ops::Counter& bytes_;
  ops::Counter& corrupt_;
  ops::Gauge& completed_;
};

} // namespace pkc::store
