// WorkerPool: threads that wait for events; as many as are needed to keep some of them free.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace pkc::http {

class WorkerPool;

/// One thread of the pool, as it tells the pool what it does. One thread at a time, but the pool
/// may look at the counters.
class Worker {
 public:
  /// Call around the wait for an event. True when nobody waits now: the pool wants to be checked.
  void begin_wait();
  [[nodiscard]] bool end_wait();
  /// After a long wait without an event: true when the pool can do without this worker, whose body
  /// then must return.
  [[nodiscard]] bool try_retire();

 private:
  friend class WorkerPool;
  explicit Worker(WorkerPool& pool) : pool_(pool) {}

  WorkerPool& pool_;
  std::atomic<bool> waiting_ = false;
  std::atomic<bool> retired_ = false;
  std::atomic<std::uint64_t> events_ = 0;         ///< waits that ended
  std::uint64_t events_seen_ = ~std::uint64_t{0}; ///< at the pool's last check; a new one has moved
  std::jthread thread_;
};

/// Starts and joins the threads. grow(), reap() and join_all() belong to one thread at a time;
/// size() and what a Worker calls are thread-safe.
class WorkerPool {
 public:
  using Body = std::function<void(Worker&)>;

  /// `body` runs on every thread of the pool until it returns. size() is less than `workers_min`
  /// when the machine gives no more threads.
  WorkerPool(std::size_t workers_min, std::size_t workers_max, Body body);

  /// Starts threads when all are busy and too few of them get anywhere. A worker that has not come
  /// back for an event since the last call is taken for blocked, be it by a slow client, a disk or
  /// a handler's lock; workers that do come back need no company, however loaded they are. Returns
  /// true when nobody waited.
  bool grow();
  /// Joins the threads that have retired.
  void reap();
  /// Waits for all bodies to return. Destruction does the same.
  void join_all();

  [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  friend class Worker;
  bool start_one();

  const std::size_t workers_min_;
  const std::size_t workers_max_;
  const std::size_t runners_; ///< workers that should be able to run at any time
  const Body body_;
  std::atomic<std::size_t> size_ = 0;
  std::atomic<std::size_t> waiting_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::size_t started_ = 0; ///< ever, for the names
};

} // namespace pkc::http
