// IndexCheck: what the index says of the objects, compared with what the files are.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"
#include "pkc/store/fsck.hpp"

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::store {

/// The part of one fsck that is about the index. Thread-safe, but for begin() and finish(), which
/// come first and last.
///
/// A server beside us notes first and writes seconds later, so what differs is only a suspicion,
/// until that server has written all it knew of at that time, and both are looked at again under
/// the lock of the key.
class IndexCheck {
 public:
  /// Hears of each finding, and how its healing went.
  using Tell = std::function<void(const FsckSpace* space, ///< null: it is of none
                                  Fault fault,
                                  std::string subject,
                                  std::string detail,
                                  const Result<void>& healed)>;

  /// `target.index` may be null: then nothing happens. All references outlive it.
  IndexCheck(const FsckTarget& target, Repair repair, std::stop_token stop, Tell tell);

  /// Looks at the database itself.
  void begin();

  struct ShardFiles {
    std::map<std::string, ByteCount, std::less<>> healthy; ///< size of the blob
    std::set<std::string, std::less<>> others; ///< what was told of already, or comes and goes
  };
  void check_shard(const FsckSpace& space, const std::string& shard, const ShardFiles& files);
  /// The files of a name are gone. The caller holds the exclusive lock of the name.
  void removed(const FsckSpace& space, std::string_view name);
  /// `shards` are all that were looked at, of each space, in ascending order. Tells a server beside
  /// us what was changed.
  void finish(std::span<const std::vector<std::string>> shards);

  /// Why not all was compared; empty: all was.
  [[nodiscard]] std::string skipped() const { return skipped_.lock()->reason; }
  /// It should have been.
  [[nodiscard]] bool failed() const { return skipped_.lock()->failed; }

 private:
  struct Suspicion {
    const FsckSpace* space = nullptr;
    Fault fault{};
    std::string name;
    bool told = false; ///< its files are gone as everybody knows; nothing new is to be told
  };
  struct Drift {
    Suspicion of;
    std::string detail;
  };
  struct Skipped {
    std::string reason;
    bool failed = false;
  };

  void heal_structure(std::string detail);
  void see_how_complete();
  [[nodiscard]] bool compares() const;
  [[nodiscard]] bool is_known_to_be_behind(const FsckSpace& space, const std::string& shard) const;
  void suspect(std::vector<Suspicion> suspicions);
  void settle(std::vector<Suspicion> suspicions);
  void settle_batch(std::span<const Suspicion> suspicions, index::Time now);
  Result<std::optional<Drift>> confirm(const Suspicion& suspicion, index::Time now);
  Result<void> await_others();
  [[nodiscard]] bool server_runs() const;
  Result<void> check_vanished_shards(const FsckSpace& space,
                                     const std::vector<std::string>& shards);
  void skip(std::string reason, bool failed);
  void fail_with(const Error& error);

  const FsckTarget& target_;
  const Repair repair_;
  const std::stop_token stop_;
  const Tell tell_;
  const index::Time begun_;
  std::optional<index::Time> behind_since_;
  std::atomic<std::size_t> removed_{0};
  std::atomic<bool> changed_{false};
  Guarded<std::vector<Suspicion>> suspicions_;
  mutable Guarded<Skipped> skipped_;
};

} // namespace pkc::store
