// KeyLocks: shared and exclusive locks by name, inside one process.
#pragma once

#include "pkc/base/guarded.hpp"

#include <condition_variable>
#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pkc::locks {

/// Readers-writer locks for any number of names; memory only for names locked now. Thread-safe.
/// These are made to be held over I/O (that is their purpose: one commit or quarantine of a name at
/// a time), so never take two at once.
class KeyLocks {
 public:
  enum class Mode {
    shared,
    exclusive
  };

  /// Holds one name until destroyed.
  class Held {
   public:
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    Held(Held&&) = delete;
    Held& operator=(Held&&) = delete;
    ~Held();

   private:
    friend class KeyLocks;
    Held(KeyLocks& owner, std::string name, Mode mode);
    KeyLocks& owner_;
    std::string name_;
    Mode mode_;
  };

  /// Blocks until the name is free for `mode`. Writers do not overtake: first come, first served is
  /// not promised.
  [[nodiscard]] Held acquire(std::string_view name, Mode mode);

 private:
  struct State {
    std::size_t readers = 0;
    bool writer = false;
    std::size_t waiting = 0;
  };
  bool release(const std::string& name, Mode mode);

  Guarded<std::unordered_map<std::string, State>> states_;
  std::condition_variable changed_;
};

} // namespace pkc::locks
