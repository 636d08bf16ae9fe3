// Belief: how far the database can be believed, as it is written in the database itself.
#pragma once

#include "statements.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/index.hpp"
#include "pkc/index/sql_index.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::index {

struct Belief {
  bool complete = false;
  std::optional<Time> since; ///< as of State, but without the margin
  std::uint64_t damages = 0;

  friend bool operator==(const Belief&, const Belief&) = default;
};

/// "<all|complete|milliseconds>;<damages>".
std::string format_belief(const Belief& belief);
/// Anything else, and nothing: all has to be compared.
Belief parse_belief(const std::optional<std::string>& text);

/// The belief after something went wrong since a time, or nobody knows since when. `damages` never
/// repeats: it is at least the time in milliseconds.
Belief damaged(const Belief& before, std::optional<Time> since, Time now);

/// What stands between two directories' times and the notes about them: a slow publish, the clocks
/// of a file server.
constexpr std::chrono::minutes kBeliefMargin{5};
State state_of(const Belief& belief, bool available);

/// Errors of all: those of Session. Inside a transaction.
Result<Belief> read_belief(sql::Session& session, const Statements& statements);
Result<void> write_belief(sql::Session& session,
                          const Statements& statements,
                          const Belief& belief);

/// Who else writes. `starting`: what is there under our own number is of a dead process.
enum class Self : std::uint8_t {
  starting,
  running,
};
struct Peers {
  bool ourselves = false;         ///< our own row is there
  std::size_t others = 0;         ///< living ones
  std::optional<Time> lost_since; ///< since when notes of dead ones may be missing
};
/// Looks for processes that ended without saying so, and removes their rows.
Result<Peers> bury_dead(sql::Session& session,
                        const Statements& statements,
                        std::int64_t process,
                        Self self,
                        const Alive& alive);

} // namespace pkc::index
