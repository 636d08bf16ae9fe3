// WorkerPool: threads that wait for events; as many as are needed to keep some of them free.
#pragma once

#include "ready_list.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <thread>
#include <vector>

namespace pkc::http {

class WorkerPool;

/// One thread of the pool, as it tells the pool what it does. One thread at a time, but the pool
/// may look at the counters.
class Worker {
 public:
  /// The next event that it has taken from the poller; null: wait for more. Tells the pool that
  /// this worker gets on.
  [[nodiscard]] void* next_event();
  /// Call around the wait for events. begin_wait() returns how many to take at most: few after a
  /// request that might have blocked, as the others had to be given away then, and more with each
  /// wait after one that did not.
  [[nodiscard]] std::size_t begin_wait();
  void end_wait();
  /// How many of `count` new events this worker should keep: all when it is the only one that could
  /// run, else its share.
  [[nodiscard]] std::size_t share_of(std::size_t count) const;
  /// Call when events were taken. True when the pool wants to be checked: nobody waits now, or
  /// events wait behind another.
  [[nodiscard]] bool keep_events(std::span<void* const> tags);
  /// Gives away the events that it has not looked at, because the present one may take long.
  template <typename Function>
  void hand_on_events(const Function& hand_on) {
    ready_.take_rest(hand_on);
    appetite_ = 0;
  }
  /// After a long wait without an event: true when the pool can do without this worker, whose body
  /// then must return.
  [[nodiscard]] bool try_retire();

 private:
  friend class WorkerPool;
  explicit Worker(WorkerPool& pool) : pool_(pool) {}

  WorkerPool& pool_;
  std::atomic<bool> waiting_ = false;
  std::atomic<bool> retired_ = false;
  std::atomic<std::uint64_t> events_ = 0;         ///< that it has begun with
  std::uint64_t events_seen_ = ~std::uint64_t{0}; ///< at the pool's last check; a new one has moved
  ReadyList ready_;
  std::size_t appetite_ = ReadyList::kCapacity; ///< events that the last wait might take
  std::jthread thread_;
};

/// Starts and joins the threads. grow(), reap() and join_all() belong to one thread at a time;
/// size(), busy() and what a Worker calls are thread-safe.
class WorkerPool {
 public:
  using Body = std::function<void(Worker&)>;
  using HandOn = std::function<void(void* event)>;

  /// `body` runs on every thread of the pool until it returns; `hand_on` gets the events of a
  /// worker that is stuck, on the thread that calls grow(). size() is less than `workers_min` when
  /// the machine gives no more threads.
  WorkerPool(std::size_t workers_min, std::size_t workers_max, Body body, HandOn hand_on);

  /// Starts threads when all are busy and too few of them get anywhere. A worker that has not come
  /// back for an event since the last call is taken for blocked, be it by a slow client, a disk or
  /// a handler's lock; workers that do come back need no company, however loaded they are. What a
  /// blocked one has not looked at is handed on. Returns true while there is reason to call again
  /// soon: nobody waited, or events waited behind others.
  bool grow();
  /// Joins the threads that have retired.
  void reap();
  /// Waits for all bodies to return. Destruction does the same.
  void join_all();

  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t size_max() const { return workers_max_; }
  /// Those that do not wait for an event.
  [[nodiscard]] std::size_t busy() const {
    const std::size_t waiting = waiting_.load(std::memory_order_relaxed);
    const std::size_t all = size();
    return all > waiting ? all - waiting : 0; // the two are not read at one instant
  }

 private:
  friend class Worker;
  bool start_one();

  const std::size_t workers_min_;
  const std::size_t workers_max_;
  const std::size_t cores_;
  const std::size_t runners_; ///< workers that should be able to run at any time
  const Body body_;
  const HandOn hand_on_;
  std::atomic<std::size_t> size_ = 0;
  std::atomic<std::size_t> waiting_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::size_t started_ = 0; ///< ever, for the names
};

} // namespace pkc::http
