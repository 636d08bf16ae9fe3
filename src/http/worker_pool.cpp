#include "worker_pool.hpp"

#include "pkc/base/processors.hpp"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <system_error>
#include <utility>

namespace pkc::http {

namespace {

/// Even on one core a blocked worker should leave more than one other.
constexpr std::size_t kRunnersMin = 2;

/// sendfile() has no MSG_NOSIGNAL. A blocked signal is never delivered, and nobody else's handling
/// of it changes.
void block_sigpipe() {
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  static_cast<void>(::pthread_sigmask(SIG_BLOCK, &pipe, nullptr)); // fails for a wrong `how` only
}

} // namespace

std::size_t Worker::begin_wait() {
  waiting_.store(true, std::memory_order_relaxed);
  pool_.waiting_.fetch_add(1, std::memory_order_relaxed);
  appetite_ = std::clamp<std::size_t>(2 * appetite_, 1, ReadyList::kCapacity);
  return appetite_;
}

void Worker::end_wait() {
  waiting_.store(false, std::memory_order_relaxed);
  pool_.waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void* Worker::next_event() {
  void* tag = ready_.take();
  if (tag != nullptr) {
    // Nobody else writes it: a plain addition, without the price of a locked one.
    events_.store(events_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  return tag;
}

std::size_t Worker::share_of(std::size_t count) const {
  const std::size_t others = pool_.waiting_.load(std::memory_order_relaxed);
  const std::size_t sharers = std::min(pool_.cores_, others + 1);
  return (count + sharers - 1) / sharers;
}

bool Worker::keep_events(std::span<void* const> tags) {
  ready_.fill(tags);
  return tags.size() > 1 || pool_.waiting_.load(std::memory_order_relaxed) == 0;
}

bool Worker::try_retire() {
  std::size_t size = pool_.size_.load(std::memory_order_relaxed);
  while (size > pool_.workers_min_) {
    if (pool_.size_.compare_exchange_weak(size, size - 1, std::memory_order_relaxed)) {
      retired_.store(true, std::memory_order_release);
      return true;
    }
  }
  return false;
}

WorkerPool::WorkerPool(std::size_t workers_min, std::size_t workers_max, Body body, HandOn hand_on)
    : workers_min_(std::max<std::size_t>(workers_min, 1)),
      workers_max_(std::max(workers_max, workers_min_)),
      cores_(usable_cores()),
      runners_(std::max(cores_, kRunnersMin)),
      body_(std::move(body)),
      hand_on_(std::move(hand_on)) {
  while (size() < workers_min_ && start_one()) {
  }
}

bool WorkerPool::start_one() {
  std::unique_ptr<Worker> worker(new Worker(*this)); // a private constructor keeps make_unique out
  Worker& started = *worker;
  // The kernel keeps 15 characters of a name.
  const std::string name = ("http-" + std::to_string(started_++)).substr(0, 15);
  size_.fetch_add(1, std::memory_order_relaxed); // before the thread, which may retire at once
  try {
    started.thread_ = std::jthread([this, &started, name] {
      block_sigpipe();
      static_cast<void>(::pthread_setname_np(::pthread_self(), name.c_str())); // for humans only
      body_(started);
    });
  } catch (const std::system_error&) { // no more threads to be had: those that run go on
    size_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  workers_.push_back(std::move(worker));
  return true;
}

bool WorkerPool::grow() {
  std::size_t stuck = 0;
  bool rest = false;
  for (const auto& worker : workers_) {
    const std::uint64_t events = worker->events_.load(std::memory_order_relaxed);
    const bool moved = std::exchange(worker->events_seen_, events) != events;
    const bool free = worker->waiting_.load(std::memory_order_relaxed) ||
                      worker->retired_.load(std::memory_order_relaxed);
    rest = rest || worker->ready_.has_rest();
    if (!moved && !free) {
      ++stuck;
      worker->ready_.take_rest(hand_on_);
    }
  }
  if (waiting_.load(std::memory_order_relaxed) > 0) {
    return rest;
  }
  const std::size_t now = size();
  const std::size_t running = now - std::min(stuck, now);
  if (running < runners_) {
    // A quarter more at a time, so that a burst of slow clients is met within a few checks.
    const std::size_t more = std::max(runners_ - running, now / 4);
    for (std::size_t i = 0; i < more && size() < workers_max_ && start_one(); ++i) {
    }
  }
  return true;
}

void WorkerPool::reap() {
  std::erase_if(workers_, [](const std::unique_ptr<Worker>& worker) {
    return worker->retired_.load(
        std::memory_order_acquire); // joins, briefly: its body has returned
  });
}

void WorkerPool::join_all() {
  workers_.clear();
}

} // namespace pkc::http
