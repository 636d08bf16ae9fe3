// Room: how much of the disk the objects take, and who has to wait until others have gone.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

namespace pkc::store {

/// What an object of `size` bytes takes of the disk: its blob and its sidecar in whole blocks of 4
/// KiB, which is what most file systems give. What directories take is not counted.
ByteCount disk_size_of(ByteCount size);

struct RoomLimits {
  ByteCount size_max = 0; ///< of all objects and uploads together; 0: no limit
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::map<std::string, ByteCount, std::less<>> space_size_max{}; ///< the same for one space
  ByteCount disk_free_min = 0; ///< what has to stay available on the disk; 0: nothing
  /// Eviction begins above the first and ends at the second, both in percent of a limit.
  unsigned evict_above = 95;
  unsigned evict_to = 90;
  /// How long an upload may wait for room.
  std::chrono::milliseconds patience{10'000};
};

/// What has to go. `space` is empty when it may come from any.
struct Demand {
  std::string space;
  ByteCount bytes = 0;
};

/// Keeps account of every byte that the store has, or is about to have, on the disk, so that a
/// limit holds at every moment: who would exceed it waits first. Thread-safe.
///
/// Two parties: uploads take shares, and one evictor waits for demand and releases.
class Room {
 public:
  explicit Room(RoomLimits limits);

  /// What one upload has taken; given back with it, but for what was kept. One thread at a time.
  class Share {
   public:
    Share(Room& room, std::string_view space) : room_(room), space_(space) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    Share(Share&&) = delete;
    Share& operator=(Share&&) = delete;
    ~Share();

    /// Takes more. Blocks while others have to go for it. Errors: no_space, when there is nothing
    /// to evict, or not soon enough.
    Result<void> take(ByteCount bytes);
    /// The upload is an object now that takes `bytes`, no more than what was taken.
    void keep(ByteCount bytes);

   private:
    Room& room_;
    std::string space_;
    ByteCount taken_ = 0;
  };

  /// An object that was there before, or that somebody else put there.
  void add(std::string_view space, ByteCount bytes);
  /// An object has gone.
  void release(std::string_view space, ByteCount bytes);

  /// Grows with every object that comes or goes.
  [[nodiscard]] std::uint64_t changes();
  /// All objects of a space take so much, said by somebody who has counted them. False, and nothing
  /// happens, when objects have come or gone since changes() was as it was `then`.
  bool correct(std::string_view space, ByteCount bytes, std::uint64_t then);

  [[nodiscard]] bool limited() const { return limited_; }
  [[nodiscard]] const RoomLimits& limits() const { return limits_; }
  [[nodiscard]] bool watches_disk() const { return limits_.disk_free_min > 0; }
  /// Objects and uploads of all spaces, or of one.
  [[nodiscard]] ByteCount taken(std::string_view space = {});

  // The evictor's side.

  /// What the file system says. To be told again whenever objects went, and every second or so, as
  /// others fill the disk, too.
  void set_disk_available(ByteCount bytes);
  /// Blocks until something has to go, but no longer than `patience`.
  std::optional<Demand> wait_for_demand(const std::stop_token& stop,
                                        std::chrono::milliseconds patience);
  /// Nothing is left that could go for it: whoever waits for it is told no_space. There is no such
  /// demand again until an object comes or goes, or somebody waits anew.
  void give_up(const Demand& demand);

 private:
  struct Account {
    ByteCount kept = 0;   ///< by objects
    ByteCount coming = 0; ///< of uploads
    ByteCount max = 0;    ///< 0: none
    ByteCount wanted = 0; ///< the most that somebody waits for
    std::size_t waiting = 0;
    std::uint64_t given_up = 0; ///< how often
    bool hopeless = false;      ///< nothing has come or gone since

    [[nodiscard]] ByteCount taken() const { return kept + coming; }
  };
  struct State {
    std::map<std::string, Account, std::less<>> accounts; ///< "" is of all spaces
    std::optional<ByteCount> disk_available;              ///< when it was last told
    ByteCount taken_since = 0;                            ///< of that
    std::uint64_t changes = 0;
  };

  Result<void> take(std::string_view space, ByteCount bytes);
  /// An upload that has taken `taken` is over, and left an object of `kept`, or nothing.
  void finish(std::string_view space, ByteCount taken, ByteCount kept);
  static void come_and_go(State& state);
  [[nodiscard]] Account* full_account(State& state, std::string_view space, ByteCount bytes) const;
  [[nodiscard]] ByteCount disk_lack(const State& state, ByteCount bytes) const;
  [[nodiscard]] std::optional<Demand> demand(const State& state) const;
  static Account& account(State& state, std::string_view space);

  const RoomLimits limits_;
  bool limited_;
  Guarded<State> state_;
  std::condition_variable released_;
  std::condition_variable_any wanted_;
};

} // namespace pkc::store
