#include "belief.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::index {
namespace {

constexpr std::string_view kName = "index.belief";
constexpr std::string_view kAll = "all";
constexpr std::string_view kComplete = "complete";

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0
             ? std::optional(number)
             : std::nullopt;
}

Time time_of(std::int64_t number) {
  return Time(std::chrono::milliseconds(number));
}

} // namespace

std::string format_belief(const Belief& belief) {
  std::string text(belief.complete ? kComplete : kAll);
  if (!belief.complete && belief.since) {
    text = std::to_string(belief.since->time_since_epoch().count());
  }
  return text + ";" + std::to_string(belief.damages);
}

Belief parse_belief(const std::optional<std::string>& text) {
  const std::string_view whole = text ? std::string_view(*text) : std::string_view();
  const std::size_t semicolon = whole.find(';');
  if (semicolon == std::string_view::npos) {
    return {};
  }
  const auto damages = parse_number(whole.substr(semicolon + 1));
  const std::string_view first = whole.substr(0, semicolon);
  const auto since = parse_number(first);
  if (!damages || (!since && first != kAll && first != kComplete)) {
    return {};
  }
  Belief belief{.complete = first == kComplete,
                .since = std::nullopt,
                .damages = static_cast<std::uint64_t>(*damages)};
  if (since) {
    belief.since = time_of(*since);
  }
  return belief;
}

Belief damaged(const Belief& before, std::optional<Time> since, Time now) {
  const std::int64_t count = now.time_since_epoch().count();
  Belief after{.complete = false,
               .since = since,
               .damages = std::max(before.damages + 1, static_cast<std::uint64_t>(count))};
  if (!before.complete && since) {
    after.since = before.since ? std::optional(std::min(*before.since, *since)) : std::nullopt;
  }
  return after;
}

State state_of(const Belief& belief, bool available) {
  State state{.available = available,
              .complete = belief.complete,
              .since = std::nullopt,
              .damages = belief.damages};
  if (!belief.complete && belief.since) {
    state.since = *belief.since - kBeliefMargin;
  }
  return state;
}

Result<Belief> read_belief(sql::Session& session, const Statements& statements) {
  std::optional<std::string> text;
  TRY(session.each(
      statements.get_fact, {kName}, [&](const sql::Row& row) { text = std::string(row.text(0)); }));
  return parse_belief(text);
}

Result<void> write_belief(sql::Session& session,
                          const Statements& statements,
                          const Belief& belief) {
  TRY(session.run(statements.put_fact, {kName, format_belief(belief)}));
  return {};
}

Result<Peers> bury_dead(sql::Session& session,
                        const Statements& statements,
                        std::int64_t process,
                        Self self,
                        const Alive& alive) {
  struct Writer {
    std::int64_t process;
    Time noted_until;
  };
  std::vector<Writer> writers;
  TRY(session.each(statements.writers, {}, [&](const sql::Row& row) {
    writers.push_back({.process = row.integer(0), .noted_until = time_of(row.integer(1))});
  }));
  Peers peers;
  for (const Writer& writer : writers) {
    if (writer.process == process && self == Self::running) {
      peers.ourselves = true;
      continue;
    }
    if (writer.process != process && alive && alive(writer.process)) {
      ++peers.others;
      continue;
    }
    TRY(session.run(statements.remove_writer, {writer.process}));
    peers.lost_since = std::min(peers.lost_since.value_or(writer.noted_until), writer.noted_until);
  }
  return peers;
}

} // namespace pkc::index
