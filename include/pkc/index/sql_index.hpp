// The index in an SQL database.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pkc::index {

/// Tells whether another process with the same database may still be running. Called by the thread
/// of the index.
using Alive = std::function<bool(std::int64_t process)>;

/// What becomes of a file that is damaged or not ours.
enum class Broken : std::uint8_t {
  replaced, ///< moved aside, and a fresh one is begun
  kept,     ///< until repair() is called; until then everything fails with corrupt
};

struct SqlIndexOptions {
  std::string path; ///< of the SQLite database, made when absent; its directory exists
  /// Who we are; no other living process with the same database has the number.
  std::int64_t process = 0;
  /// Empty: every other process is dead.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  Alive alive{};
  std::chrono::milliseconds flush_interval{5000};
  /// How long a query may wait for a connection and for locks of other programs.
  std::chrono::milliseconds query_timeout{5000};
  /// How many objects may wait to be written; about 250 bytes each.
  std::size_t pending_max = 50'000;
  Broken broken = Broken::replaced;
};

/// An index in a SQLite database in WAL mode, with a thread that writes. Returns in milliseconds; a
/// database that is locked by another program, or has to be migrated at length, is opened in the
/// background, and until then is unavailable.
///
/// A file that is damaged or not ours is moved aside to <path>.broken-<n>, with an error in the
/// log, and a fresh one is begun; so it is when damage shows later. The database may lose the last
/// seconds when the machine stops, but is not damaged by that.
///
/// Errors: conflict when a newer version of the program has made the file (it is left alone);
/// io and no_space when there can be no such file. All references outlive the index.
Result<std::unique_ptr<Index>> make_sql_index(const Clock& clock,
                                              ops::Log& log,
                                              ops::Metrics& metrics,
                                              SqlIndexOptions options);

} // namespace pkc::index
