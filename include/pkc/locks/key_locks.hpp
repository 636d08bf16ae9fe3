// KeyLocks: shared and exclusive locks by name, inside one process and, with a file, between
// processes.
#pragma once

#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/locks/lock_file.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>

namespace pkc::locks {

/// Readers-writer locks for any number of names; memory only for names locked now. Thread-safe.
/// These are made to be held over I/O (that is their purpose: one commit or quarantine of a name at
/// a time), so never take two at once: two names may even share one lock.
class KeyLocks {
 public:
  using Mode = LockFile::Mode;

  /// Holds one name until destroyed.
  class Held {
   public:
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    Held(Held&&) = delete;
    Held& operator=(Held&&) = delete;
    ~Held() { owner_.release(slot_, mode_); }

   private:
    friend class KeyLocks;
    Held(KeyLocks& owner, std::uint64_t slot, Mode mode)
        : owner_(owner), slot_(slot), mode_(mode) {}
    KeyLocks& owner_;
    std::uint64_t slot_;
    Mode mode_;
  };

  /// With a `file`, names are locked against every other process that uses the same one, too; it
  /// outlives this.
  explicit KeyLocks(LockFile* file = nullptr) : file_(file) {}

  /// Blocks until the name is free for `mode`. Writers do not overtake: first come, first served is
  /// not promised. Errors: io, when the file cannot be locked.
  [[nodiscard]] Result<std::unique_ptr<Held>> acquire(std::string_view name, Mode mode);

  /// The byte of the file that stands for a name: its 64-bit FNV-1a hash without the upper two
  /// bits. Part of the directory layout, as two versions of the server must agree on it.
  [[nodiscard]] static std::uint64_t slot_of(std::string_view name);

 private:
  struct State {
    std::size_t readers = 0;
    bool writer = false;
    bool changing = false; ///< a thread is about to lock or unlock the file
    std::size_t waiting = 0;
  };
  enum class Change : std::uint8_t {
    keeps,
    frees,
  };
  bool enter(std::uint64_t slot, Mode mode);
  void release(std::uint64_t slot, Mode mode);
  void finish_change(std::uint64_t slot, Change change);

  LockFile* const file_;
  Guarded<std::unordered_map<std::uint64_t, State>> states_;
  std::condition_variable changed_;
};

} // namespace pkc::locks
