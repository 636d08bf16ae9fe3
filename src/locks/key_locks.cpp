#include "pkc/locks/key_locks.hpp"

#include "pkc/base/assert.hpp"

namespace pkc::locks {

KeyLocks::Held::Held(KeyLocks& owner, std::string name, Mode mode)
    : owner_(owner), name_(std::move(name)), mode_(mode) {
  auto states = owner_.states_.lock();
  State& state = (*states)[name_];
  ++state.waiting;
  // References into an unordered_map survive rehashing, and the entry stays while anybody waits for
  // it.
  owner_.changed_.wait(states.lock(), [&] {
    return !state.writer && (mode_ == Mode::shared || state.readers == 0);
  });
  --state.waiting;
  if (mode_ == Mode::shared) {
    ++state.readers;
  } else {
    state.writer = true;
  }
}

KeyLocks::Held::~Held() {
  if (owner_.release(name_, mode_)) {
    owner_.changed_.notify_all();
  }
}

/// True when somebody waits for the name.
bool KeyLocks::release(const std::string& name, Mode mode) {
  auto states = states_.lock();
  const auto found = states->find(name);
  PKC_ASSERT(found != states->end());
  State& state = found->second;
  PKC_ASSERT(mode == Mode::shared ? state.readers > 0 : state.writer);
  if (mode == Mode::shared) {
    --state.readers;
  } else {
    state.writer = false;
  }
  const bool awaited = state.waiting > 0;
  if (!awaited && state.readers == 0) {
    states->erase(found);
  }
  return awaited;
}

KeyLocks::Held KeyLocks::acquire(std::string_view name, Mode mode) {
  return {*this, std::string(name), mode};
}

} // namespace pkc::locks
