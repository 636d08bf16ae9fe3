#include "pkc/app/warming.hpp"

#include "local_origin.hpp"
#include "signals.hpp"
#include "warm_file.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/net/client.hpp"
#include "pkc/net/session.hpp"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace pkc::app {

namespace {

constexpr ByteCount kErrorSizeMax = 16 * kKiB; // it may quote the URL
constexpr std::chrono::milliseconds kProgressInterval{200};
/// Between attempts to end what is under way: one may have begun when the one before was made.
constexpr std::chrono::milliseconds kInterruptInterval{20};

/// The work of some threads, and the one that waits for them and for signals.
class Warming {
 public:
  Warming(std::span<const config::ManifestFile> files, const WarmOptions& options)
      : files_(files), options_(options), outcomes_(files.size()) {}
  Warming(const Warming&) = delete;
  Warming& operator=(const Warming&) = delete;
  Warming(Warming&&) = delete;
  Warming& operator=(Warming&&) = delete;
  ~Warming() { stop_.request_stop(); } // when not all threads could be started

  Result<WarmReport> run(const net::Origin& origin, WarmObserver& observer);

 private:
  void start(const net::Origin& origin);
  void work(net::Session& session);
  void warm_one(FileWarmer& warmer, std::size_t at);
  bool pause(std::chrono::milliseconds delay);
  Result<void> await_end(Signals& signals, WarmObserver& observer);
  [[nodiscard]] WarmProgress progress() const;

  static constexpr std::size_t kNone = SIZE_MAX;

  const std::span<const config::ManifestFile> files_;
  const WarmOptions& options_;
  std::vector<WarmedFile> outcomes_; ///< each is written by one thread, and read behind the last
  std::stop_source stop_;
  std::atomic<std::size_t> next_ = 0;
  std::atomic<std::size_t> given_up_at_ = kNone;
  std::atomic<std::size_t> running_ = 0;
  std::atomic<std::size_t> present_ = 0;
  std::atomic<std::size_t> downloaded_ = 0;
  std::atomic<std::size_t> failed_ = 0;
  std::atomic<ByteCount> received_ = 0;
  int signal_ = 0;
  UniqueFd ended_; ///< an eventfd that the last thread makes readable
  std::vector<std::unique_ptr<net::Session>> sessions_;
  std::vector<std::jthread> threads_; // the last: they use the others
};

bool Warming::pause(std::chrono::milliseconds delay) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop_.get_token(), delay, [] { return false; });
  return !stop_.stop_requested();
}

void Warming::warm_one(FileWarmer& warmer, std::size_t at) {
  WarmedFile file;
  try {
    file = warmer.warm(files_[at]);
  } catch (const std::exception& error) {
    file.outcome = WarmedFile::Outcome::failed;
    file.reason = error.what();
  }
  if (stop_.stop_requested() && file.outcome == WarmedFile::Outcome::failed && file.status == 0) {
    return; // it was broken off, and is as if nobody had asked
  }
  switch (file.outcome) {
    case WarmedFile::Outcome::not_done:
      break;
    case WarmedFile::Outcome::present:
      ++present_;
      break;
    case WarmedFile::Outcome::downloaded:
      ++downloaded_;
      break;
    case WarmedFile::Outcome::failed:
      ++failed_;
      break;
  }
  outcomes_[at] = std::move(file);
  std::size_t none = kNone;
  if (warmer.is_hopeless()) {
    given_up_at_.compare_exchange_strong(none, at);
  }
}

void Warming::work(net::Session& session) {
  FileWarmer warmer(session, options_, received_, [this](std::chrono::milliseconds delay) {
    return pause(delay);
  });
  while (!stop_.stop_requested() && given_up_at_ == kNone) {
    const std::size_t at = next_.fetch_add(1);
    if (at >= files_.size()) {
      break;
    }
    warm_one(warmer, at);
  }
  if (running_.fetch_sub(1) == 1) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(ended_.get(), &one, sizeof one);
  }
}

void Warming::start(const net::Origin& origin) {
  const std::size_t jobs = std::min(options_.jobs, files_.size());
  for (std::size_t i = 0; i < jobs; ++i) {
    net::SessionOptions session;
    session.token = options_.token;
    session.timeout = options_.timeout;
    session.error_size_max = kErrorSizeMax;
    sessions_.push_back(net::make_session(origin, std::move(session)));
  }
  running_ = jobs;
  for (const auto& session : sessions_) {
    threads_.emplace_back([this, &session] { work(*session); });
  }
}

WarmProgress Warming::progress() const {
  return {.present = present_, .downloaded = downloaded_, .failed = failed_, .bytes = received_};
}

Result<void> Warming::await_end(Signals& signals, WarmObserver& observer) {
  for (;;) {
    const bool stopping = stop_.stop_requested();
    TRY_ASSIGN(const Wakeup woken,
               signals.wait({ended_.get()}, stopping ? kInterruptInterval : kProgressInterval));
    if (woken.descriptor == ended_.get()) {
      return {};
    }
    if (woken.signal != 0 && woken.signal != SIGUSR2) {
      signal_ = signal_ == 0 ? woken.signal : signal_;
      stop_.request_stop();
      observer.interrupted(woken.signal);
    }
    if (stop_.stop_requested()) {
      for (const auto& session : sessions_) {
        session->interrupt();
      }
    } else {
      observer.progress(progress());
    }
  }
}

Result<WarmReport> Warming::run(const net::Origin& origin, WarmObserver& observer) {
  TRY_ASSIGN(Signals signals, Signals::make());
  ended_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!ended_) {
    return fail_errno(errno, "eventfd");
  }
  start(origin);
  TRY(await_end(signals, observer));
  threads_.clear(); // joins them
  WarmReport report;
  report.files = std::move(outcomes_);
  report.signal = signal_;
  if (given_up_at_ != kNone) {
    report.given_up_at = given_up_at_;
  }
  return report;
}

Result<net::Origin> origin_of(const config::Settings& settings, const std::string& url) {
  if (url.empty()) {
    auto origin = local_origin(settings);
    return origin ? std::move(origin)
                  : std::unexpected(std::move(origin).error().prefixed("without --url"));
  }
  auto origin = net::parse_origin(url);
  return origin ? std::move(origin)
                : std::unexpected(std::move(origin).error().prefixed("--url " + url));
}

} // namespace

Result<WarmReport> warm(const config::Settings& settings,
                        std::span<const config::ManifestFile> files,
                        const WarmOptions& options,
                        WarmObserver& observer) {
  TRY_ASSIGN(const net::Origin origin, origin_of(settings, options.url));
  return Warming(files, options).run(origin, observer);
}

} // namespace pkc::app
