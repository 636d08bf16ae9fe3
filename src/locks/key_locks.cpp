#include "pkc/locks/key_locks.hpp"

#include "pkc/base/assert.hpp"

namespace pkc::locks {

// The file knows this process as one owner, so only the first of several readers locks it and only
// the last unlocks it; whoever comes meanwhile sees `changing` and waits. The mutex is not held
// over those calls, as the first may wait for another process.
Result<std::unique_ptr<KeyLocks::Held>> KeyLocks::acquire(std::string_view name, Mode mode) {
  const std::uint64_t slot = slot_of(name);
  if (enter(slot, mode)) {
    const auto locked = file_->lock(slot, mode);
    finish_change(slot, locked ? Change::keeps : Change::frees);
    TRY(locked);
  }
  return std::unique_ptr<Held>(new Held(*this, slot, mode));
}

/// Takes the lock inside this process. True when the caller has to take that of the file next, and
/// to call finish_change().
bool KeyLocks::enter(std::uint64_t slot, Mode mode) {
  auto states = states_.lock();
  // References into an unordered_map survive rehashing, and the entry stays while anybody waits for
  // it.
  State& state = (*states)[slot];
  ++state.waiting;
  changed_.wait(states.lock(), [&] {
    return !state.changing && !state.writer && (mode == Mode::shared || state.readers == 0);
  });
  --state.waiting;
  const bool first = state.readers == 0;
  state.readers += mode == Mode::shared ? 1U : 0U;
  state.writer = mode == Mode::exclusive;
  state.changing = first && file_ != nullptr;
  return state.changing;
}

void KeyLocks::release(std::uint64_t slot, Mode mode) {
  {
    auto states = states_.lock();
    const auto found = states->find(slot);
    PKC_ASSERT(found != states->end());
    State& state = found->second;
    PKC_ASSERT(mode == Mode::shared ? state.readers > 0 : state.writer);
    if (state.readers > 1) {
      --state.readers;
      return;
    }
    state.changing = true;
  }
  if (file_ != nullptr) {
    file_->unlock(slot);
  }
  finish_change(slot, Change::frees);
}

void KeyLocks::finish_change(std::uint64_t slot, Change change) {
  bool awaited = false;
  {
    auto states = states_.lock();
    State& state = (*states)[slot];
    state.changing = false;
    if (change == Change::frees) {
      state.readers = 0;
      state.writer = false;
    }
    awaited = state.waiting > 0;
    if (change == Change::frees && !awaited) {
      states->erase(slot);
    }
  }
  if (awaited) {
    changed_.notify_all();
  }
}

std::uint64_t KeyLocks::slot_of(std::string_view name) {
  constexpr std::uint64_t kOffset = 0xcbf29ce484222325;
  constexpr std::uint64_t kPrime = 0x100000001b3;
  std::uint64_t hash = kOffset;
  for (const char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  }
  return hash % LockFile::kBytes;
}

} // namespace pkc::locks
