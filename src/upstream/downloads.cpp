#include "pkc/upstream/downloads.hpp"

#include "absent_cache.hpp"
#include "checking.hpp"
#include "download.hpp"
#include "fetching.hpp"
#include "rate_limit.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <stop_token>
#include <thread>
#include <unordered_map>
#include <utility>

namespace pkc::upstream {

namespace {

constexpr int kNotFound = 404;
constexpr int kGone = 410;
/// How often it is looked whether somebody still waits for a download.
constexpr std::chrono::milliseconds kWatchInterval{250};

/// In bytes: from what fits into a packet to what fills a disk.
constexpr std::array<std::uint64_t, 10> kSizes = {1ULL << 10,
                                                  1ULL << 14,
                                                  1ULL << 17,
                                                  1ULL << 20,
                                                  1ULL << 23,
                                                  1ULL << 26,
                                                  1ULL << 28,
                                                  1ULL << 30,
                                                  1ULL << 32,
                                                  1ULL << 34};

class PooledDownloads final : public Downloads {
 public:
  PooledDownloads(DownloadParts parts, DownloadOptions options);
  PooledDownloads(const PooledDownloads&) = delete;
  PooledDownloads& operator=(const PooledDownloads&) = delete;
  PooledDownloads(PooledDownloads&&) = delete;
  PooledDownloads& operator=(PooledDownloads&&) = delete;
  ~PooledDownloads() override;

  Result<std::shared_ptr<Waiter>> join(DownloadRequest request,
                                       std::vector<Checksum> wanted) override;
  void check(CheckRequest request) override;

 private:
  using Shared = std::shared_ptr<Download>;
  /// One of both.
  struct Task {
    Shared download;
    std::optional<CheckRequest> check;
  };
  struct State {
    std::unordered_map<std::string, Shared> by_key; ///< all that can be joined
    std::deque<Task> queue;                         ///< those without a thread
    std::unordered_set<Shared> running;
    std::vector<std::jthread> threads; ///< the first one watches, the others fetch
    std::stop_source stop;             ///< of checks
    std::size_t idle = 0;
    bool stopping = false;
  };

  Result<Shared> begin(State& state, DownloadRequest request);
  Result<void> enqueue(State& state, Task task);
  void work();
  void watch();
  void run(const Shared& download);
  void close(const Shared& download);

  const DownloadParts parts_;
  const DownloadOptions options_;
  RateLimits limits_;
  AbsentCache absent_;
  AbsentCache checked_; ///< keys that were checked a moment ago
  const Fetchers fetchers_;
  ops::Counter& begun_;
  ops::Counter& bytes_;
  ops::Histogram& sizes_;
  Guarded<State> state_;
  std::condition_variable queued_;
  std::condition_variable begun_or_stopping_;
};

PooledDownloads::PooledDownloads(DownloadParts parts, DownloadOptions options)
    : parts_(parts),
      options_(options),
      limits_(parts.clock, options.rate, options.rate_per_origin),
      absent_(parts.clock, options.absent_ttl, options.absent_max),
      checked_(parts.clock, options.check_interval, options.absent_max),
      fetchers_{parts_, options_, limits_},
      begun_(parts.metrics.counter("artifact_cache_downloads_total",
                                   "Downloads from origins that were begun.")),
      bytes_(parts.metrics.counter("artifact_cache_bytes_downloaded_total",
                                   "Bytes of bodies that came whole from origins.")),
      sizes_(parts.metrics.histogram("artifact_cache_download_size_bytes",
                                     "Sizes of bodies that came whole from origins.",
                                     {.bounds = kSizes})) {}

PooledDownloads::~PooledDownloads() {
  std::vector<std::jthread> threads;
  {
    const auto state = state_.lock();
    state->stopping = true;
    for (const Shared& download : state->running) {
      download->stop();
    }
    state->stop.request_stop();
    threads = std::move(state->threads);
  }
  queued_.notify_all();
  begun_or_stopping_.notify_all();
  threads.clear(); // joins
  std::deque<Task> left;
  std::swap(left, state_.lock()->queue);
  for (const Task& task : left) {
    if (task.download) {
      task.download->fail({.kind = Failure::Kind::unavailable, .message = "the server stops"});
    }
  }
}

Result<std::shared_ptr<Waiter>> PooledDownloads::join(DownloadRequest request,
                                                      std::vector<Checksum> wanted) {
  if (!request.ask_again) {
    if (const auto known = absent_.find(request.key)) {
      // A download that is over before it begins: one way to tell failures.
      const auto download =
          std::make_shared<Download>(std::move(request), parts_.clock, options_.background);
      auto waiter = download->add(std::move(wanted));
      download->fail(*known);
      return waiter;
    }
  }
  const auto state = state_.lock();
  if (const auto found = state->by_key.find(request.key); found != state->by_key.end()) {
    if (auto waiter = found->second->add(wanted)) {
      return waiter;
    }
  }
  TRY_ASSIGN(const Shared download, begin(*state, std::move(request)));
  return download->add(std::move(wanted));
}

Result<PooledDownloads::Shared> PooledDownloads::begin(State& state, DownloadRequest request) {
  const auto download =
      std::make_shared<Download>(std::move(request), parts_.clock, options_.background);
  TRY(enqueue(state, {download, std::nullopt}));
  state.by_key.insert_or_assign(download->request().key, download);
  return download;
}

Result<void> PooledDownloads::enqueue(State& state, Task task) {
  if (state.stopping || state.queue.size() >= options_.queued_max) {
    return fail(Errc::unavailable, "too many downloads wait already");
  }
  if (state.threads.empty()) {
    state.threads.emplace_back([this] { watch(); });
  }
  state.queue.push_back(std::move(task));
  if (state.idle < state.queue.size() && state.threads.size() <= options_.active_max) {
    state.threads.emplace_back([this] { work(); });
  }
  queued_.notify_one();
  return {};
}

void PooledDownloads::check(CheckRequest request) {
  if (checked_.find(request.key)) {
    return;
  }
  checked_.remember(request.key, {});
  const auto state = state_.lock();
  if (state->queue.empty()) { // else there is more urgent work
    static_cast<void>(enqueue(*state, {nullptr, std::move(request)}));
  }
}

void PooledDownloads::work() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "download")); // for humans only
  while (true) {
    Task task;
    std::stop_token stop;
    {
      auto state = state_.lock();
      ++state->idle;
      queued_.wait(state.lock(), [&] { return state->stopping || !state->queue.empty(); });
      --state->idle;
      if (state->stopping) {
        return;
      }
      task = std::move(state->queue.front());
      state->queue.pop_front();
      stop = state->stop.get_token();
      if (task.download) {
        state->running.insert(task.download);
        begun_or_stopping_.notify_one();
      }
    }
    if (task.check) {
      task.check->done(ask_again(fetchers_, *task.check, stop));
      continue;
    }
    run(task.download);
    state_.lock()->running.erase(task.download);
  }
}

/// Stops what nobody has waited for too long. The thread of a download cannot: an origin that sends
/// nothing gives it nothing to do.
void PooledDownloads::watch() {
  std::vector<Shared> running;
  auto state = state_.lock();
  while (!state->stopping) {
    if (state->running.empty()) {
      begun_or_stopping_.wait(state.lock());
      continue;
    }
    running.assign(state->running.begin(), state->running.end());
    state.lock().unlock();
    for (const Shared& download : running) {
      if (download->abandoned()) {
        download->stop();
      }
    }
    running.clear();
    state.lock().lock();
    begun_or_stopping_.wait_for(state.lock(), kWatchInterval, [&] { return state->stopping; });
  }
}

/// From now on the next one who asks for the key begins another download.
void PooledDownloads::close(const Shared& download) {
  const auto state = state_.lock();
  const auto found = state->by_key.find(download->request().key);
  if (found != state->by_key.end() && found->second == download) {
    state->by_key.erase(found);
  }
}

void PooledDownloads::run(const Shared& download) {
  const DownloadRequest& request = download->request();
  if (!request.ask_again && request.stored) {
    if (auto arrived = request.stored()) {
      close(download);
      download->finish(Phase::stored, *std::move(arrived));
      return;
    }
  }
  begun_.add();
  auto outcome = fetch(fetchers_, *download, [&] { close(download); });
  if (outcome && (outcome->status == kNotFound || outcome->status == kGone)) {
    absent_.remember(download->request().key, *outcome);
  } else {
    absent_.forget(download->request().key);
  }
  close(download);
  if (outcome) {
    download->fail(*std::move(outcome));
  } else {
    const ByteCount size = download->arrived_size();
    bytes_.add(size);
    sizes_.observe(size);
  }
}

} // namespace

std::unique_ptr<Downloads> make_downloads(DownloadParts parts, DownloadOptions options) {
  return std::make_unique<PooledDownloads>(parts, options);
}

} // namespace pkc::upstream
