#include "pkc/base/background_sha256.hpp"

#include "pkc/base/processors.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <system_error>

namespace pkc {

BackgroundSha256::~BackgroundSha256() {
  stop(End::at_once);
}

/// False where there is no thread to be had.
bool BackgroundSha256::start() {
  if (usable_cores() == 1) {
    return false;
  }
  pieces_ = std::make_unique_for_overwrite<std::byte[]>(kPieces * kPieceSize);
  *state_.lock() = State{};
  filling_ = 0;
  held_ = 0;
  try {
    thread_ = std::jthread([this] { work(); });
  } catch (const std::system_error&) {
    pieces_.reset();
    return false;
  }
  return true;
}

void BackgroundSha256::update(ByteSpan bytes) {
  if (!in_background()) {
    const bool is_long = bytes.size() > inline_max_ - std::min(inline_, inline_max_);
    if (!is_long || !start()) {
      inline_max_ = is_long ? kAlwaysInline : inline_max_;
      inline_ += bytes.size();
      hasher_.update(bytes);
      return;
    }
  }
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kPieceSize - held_);
    std::memcpy(piece(filling_) + held_, bytes.data(), count);
    held_ += count;
    bytes = bytes.subspan(count);
    if (held_ == kPieceSize) {
      post();
    }
  }
}

/// Gives the thread what is held, and returns when there is a place for more.
void BackgroundSha256::post() {
  auto state = state_.lock();
  state->last_size = held_;
  ++state->posted;
  changed_.notify_one(); // only one side ever waits
  changed_.wait(state.lock(), [&] { return state->posted - state->hashed < kPieces; });
  ++filling_;
  held_ = 0;
}

void BackgroundSha256::work() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "sha256")); // for humans only
  auto state = state_.lock();
  while (true) {
    const auto more = [&] { return state->posted > state->hashed; };
    changed_.wait(state.lock(), [&] { return more() || state->end != End::none; });
    if (state->end == End::at_once || !more()) {
      return;
    }
    const std::size_t number = state->hashed;
    const std::size_t size = number + 1 == state->posted ? state->last_size : kPieceSize;
    state.lock().unlock();
    hasher_.update({piece(number), size});
    state.lock().lock();
    ++state->hashed;
    changed_.notify_one();
  }
}

/// Afterwards there is no thread, and the hasher is ours.
void BackgroundSha256::stop(End end) {
  if (!in_background()) {
    return;
  }
  state_.lock()->end = end;
  changed_.notify_one();
  thread_.join();
  pieces_.reset();
}

Sha256 BackgroundSha256::finish() {
  if (in_background() && held_ > 0) {
    post();
  }
  stop(End::when_done);
  inline_ = 0;
  return hasher_.finish();
}

} // namespace pkc
