#include "worker_pool.hpp"

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

void Worker::begin_wait() {
  waiting_.store(true, std::memory_order_relaxed);
  pool_.waiting_.fetch_add(1, std::memory_order_relaxed);
}

bool Worker::end_wait() {
  events_.fetch_add(1, std::memory_order_relaxed);
  waiting_.store(false, std::memory_order_relaxed);
  return pool_.waiting_.fetch_sub(1, std::memory_order_relaxed) == 1;
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

WorkerPool::WorkerPool(std::size_t workers_min, std::size_t workers_max, Body body)
    : workers_min_(std::max<std::size_t>(workers_min, 1)),
      workers_max_(std::max(workers_max, workers_min_)),
      runners_(std::max<std::size_t>(std::thread::hardware_concurrency(), kRunnersMin)),
      body_(std::move(body)) {
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
  for (const auto& worker : workers_) {
    const std::uint64_t events = worker->events_.load(std::memory_order_relaxed);
    const bool moved = std::exchange(worker->events_seen_, events) != events;
    const bool free = worker->waiting_.load(std::memory_order_relaxed) ||
                      worker->retired_.load(std::memory_order_relaxed);
    stuck += moved || free ? 0 : 1;
  }
  if (waiting_.load(std::memory_order_relaxed) > 0) {
    return false;
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
