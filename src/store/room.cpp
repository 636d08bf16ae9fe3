#include "pkc/store/room.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <utility>

namespace pkc::store {

namespace {

constexpr ByteCount kBlock = 4 * kKiB;
constexpr unsigned kPercent = 100;

ByteCount part_of(ByteCount whole, unsigned percent) {
  return whole / kPercent * percent + whole % kPercent * percent / kPercent;
}

ByteCount less(ByteCount from, ByteCount what) {
  return from > what ? from - what : 0;
}

} // namespace

ByteCount disk_size_of(ByteCount size) {
  return (size + kBlock - 1) / kBlock * kBlock + kBlock;
}

Room::Room(RoomLimits limits)
    : limits_(std::move(limits)),
      limited_(limits_.size_max > 0 || limits_.disk_free_min > 0 ||
               !limits_.space_size_max.empty()) {
  auto state = state_.lock();
  state->accounts[""].max = limits_.size_max;
  for (const auto& [space, max] : limits_.space_size_max) {
    state->accounts[space].max = max;
  }
}

Room::Share::~Share() {
  if (taken_ > 0) {
    room_.finish(space_, taken_, 0);
  }
}

Result<void> Room::Share::take(ByteCount bytes) {
  if (bytes == 0) {
    return {};
  }
  TRY(room_.take(space_, bytes));
  taken_ += bytes;
  return {};
}

void Room::Share::keep(ByteCount bytes) {
  PKC_ASSERT(bytes <= taken_);
  room_.finish(space_, std::exchange(taken_, 0), bytes);
}

Room::Account& Room::account(State& state, std::string_view space) {
  const auto found = state.accounts.find(space);
  return found != state.accounts.end() ? found->second : state.accounts[std::string(space)];
}

/// There may be something to evict again.
void Room::come_and_go(State& state) {
  ++state.changes;
  for (auto& [space, account] : state.accounts) {
    account.hopeless = false;
  }
}

/// What would be missing on the disk with `bytes` more on it.
ByteCount Room::disk_lack(const State& state, ByteCount bytes) const {
  if (limits_.disk_free_min == 0 || !state.disk_available) {
    return 0;
  }
  return less(limits_.disk_free_min + state.taken_since + bytes, *state.disk_available);
}

/// The account that has no room for `bytes` more; null when all have.
Room::Account* Room::full_account(State& state, std::string_view space, ByteCount bytes) const {
  Account& own = account(state, space);
  if (own.max > 0 && own.taken() + bytes > own.max) {
    return &own;
  }
  Account& all = account(state, "");
  const bool full = all.max > 0 && all.taken() + bytes > all.max;
  return full || disk_lack(state, bytes) > 0 ? &all : nullptr;
}

Result<void> Room::take(std::string_view space, ByteCount bytes) {
  auto state = state_.lock();
  Account* full = full_account(*state, space, bytes);
  while (full != nullptr) {
    if (full->max > 0 && bytes > full->max) {
      return fail(Errc::no_space, "more than the store may hold");
    }
    const std::uint64_t given_up = full->given_up;
    full->wanted = std::max(full->wanted, bytes);
    ++full->waiting;
    wanted_.notify_all();
    Account* const waited_for = full;
    const bool changed = released_.wait_for(state.lock(), limits_.patience, [&] {
      return waited_for->given_up != given_up || full_account(*state, space, bytes) != waited_for;
    });
    if (--waited_for->waiting == 0) {
      waited_for->wanted = 0;
    }
    if (!changed || waited_for->given_up != given_up) {
      return fail(Errc::no_space, "there is no room, and nothing that could go for it");
    }
    full = full_account(*state, space, bytes);
  }
  account(*state, space).coming += bytes;
  account(*state, "").coming += bytes;
  state->taken_since += bytes;
  if (demand(*state)) {
    wanted_.notify_all();
  }
  return {};
}

void Room::finish(std::string_view space, ByteCount taken, ByteCount kept) {
  {
    auto state = state_.lock();
    for (Account* const account : {&this->account(*state, space), &this->account(*state, "")}) {
      account->coming = less(account->coming, taken);
      account->kept += kept;
    }
    state->taken_since = less(state->taken_since, taken - kept);
    come_and_go(*state);
  }
  released_.notify_all();
}

void Room::add(std::string_view space, ByteCount bytes) {
  auto state = state_.lock();
  account(*state, space).kept += bytes;
  account(*state, "").kept += bytes;
  come_and_go(*state);
  if (demand(*state)) {
    wanted_.notify_all();
  }
}

void Room::release(std::string_view space, ByteCount bytes) {
  {
    auto state = state_.lock();
    for (Account* const account : {&this->account(*state, space), &this->account(*state, "")}) {
      account->kept = less(account->kept, bytes);
    }
    state->taken_since = less(state->taken_since, bytes);
    come_and_go(*state);
  }
  released_.notify_all();
}

std::uint64_t Room::changes() {
  return state_.lock()->changes;
}

bool Room::correct(std::string_view space, ByteCount bytes, std::uint64_t then) {
  {
    auto state = state_.lock();
    if (state->changes != then) {
      return false;
    }
    Account& own = account(*state, space);
    Account& all = account(*state, "");
    all.kept = less(all.kept, own.kept) + bytes;
    own.kept = bytes;
    if (demand(*state)) {
      wanted_.notify_all();
    }
  }
  released_.notify_all();
  return true;
}

ByteCount Room::taken(std::string_view space) {
  auto state = state_.lock();
  const auto found = state->accounts.find(space);
  return found == state->accounts.end() ? 0 : found->second.taken();
}

void Room::set_disk_available(ByteCount bytes) {
  {
    auto state = state_.lock();
    state->disk_available = bytes;
    state->taken_since = 0;
  }
  released_.notify_all();
}

std::optional<Demand> Room::demand(const State& state) const {
  for (const auto& [space, account] : state.accounts) {
    if (account.max == 0) {
      continue;
    }
    ByteCount bytes = account.wanted > 0 ? less(account.taken() + account.wanted, account.max) : 0;
    if (!account.hopeless && account.taken() > part_of(account.max, limits_.evict_above)) {
      bytes = std::max(bytes, account.taken() - part_of(account.max, limits_.evict_to));
    }
    if (bytes > 0) {
      return Demand{.space = space, .bytes = bytes};
    }
  }
  const Account& all = state.accounts.find("")->second;
  const ByteCount lack = disk_lack(state, all.wanted);
  return lack > 0 && (all.wanted > 0 || !all.hopeless)
             ? std::optional(Demand{.space = "", .bytes = lack})
             : std::nullopt;
}

std::optional<Demand> Room::wait_for_demand(const std::stop_token& stop,
                                            std::chrono::milliseconds patience) {
  auto state = state_.lock();
  wanted_.wait_for(state.lock(), stop, patience, [&] { return demand(*state).has_value(); });
  return stop.stop_requested() ? std::nullopt : demand(*state);
}

void Room::give_up(const Demand& demand) {
  {
    auto state = state_.lock();
    Account& given_up = account(*state, demand.space);
    ++given_up.given_up;
    given_up.wanted = 0;
    given_up.hopeless = true;
  }
  released_.notify_all();
}

} // namespace pkc::store
