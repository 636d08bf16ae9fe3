// Lifecycle: what a server that is ready does until its end, signal by signal.
#pragma once

#include "auth.hpp"
#include "handover.hpp"
#include "job.hpp"
#include "metrics_listener.hpp"
#include "notifier.hpp"
#include "program.hpp"
#include "signals.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/http/server.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/store/readiness.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>

namespace pkc::app {

/// What a Lifecycle acts on; all of it outlives it. The functions may be empty, and block.
struct Service {
  http::Server& server; ///< does not accept yet
  blob::Backend& backend;
  store::Readiness& readiness;
  Signals& signals;
  Notifier& notifier;
  ops::Log& log;
  MetricsListener& metrics;
  ops::FileLog* access_log; ///< to be opened again on SIGHUP; null: none
  const Clock& clock;
  const Result<Program>& program; ///< an error says why there can be no successor
  /// Run from when we accept until somebody else does, or we stop.
  std::span<Job* const> jobs = {};
  Auth* auth = nullptr; ///< null: nothing to reload
  /// Called before the first client is accepted. A predecessor has left before_handing_over by
  /// then.
  std::function<void()> before_accepting = {};
  /// Called before a successor is told to accept: for what it should know by then.
  std::function<void()> before_handing_over = {};
  /// Called when the last predecessor has ended: what it did to the end is on the disk.
  std::function<void()> predecessor_gone = {};
};

struct LifecycleOptions {
  std::chrono::milliseconds grace{};                    ///< for requests in flight at the end
  std::chrono::milliseconds successor_patience{60'000}; ///< until it could serve
};

/// The life of a server, told by its signals:
///
///     predecessor, if any ──lets us──► accepting ──SIGTERM, SIGINT──────────────────► stopping
///                                       ▲     │                                       ▲
///                      gives up or dies │     │ SIGUSR2                 SIGTERM: it is │
///                                       │     ▼                             given up  │
///                                      with a successor ─────────────────────────────┘
///                                             │ it is ready
///                                             ▼
///                                      handing over: the successor accepts, we finish
///
/// One thread.
class Lifecycle {
 public:
  Lifecycle(Service service, LifecycleOptions options, std::optional<Inheritance> inheritance)
      : service_(service), options_(options), inheritance_(std::move(inheritance)) {}

  /// Runs until the server has stopped. Errors: unavailable when a signal came before the
  /// predecessor let us accept; io.
  Result<void> run();

 private:
  enum class End : std::uint8_t {
    stop,
    hand_over,
  };

  Result<void> succeed();
  Result<void> serve_metrics(bool succeeding);
  void reload();
  Result<End> serve();
  Result<void> finish(End end);
  void start_successor();
  bool let_successor_accept();
  void give_up_successor(std::string_view reason);
  void watch();
  void forget_predecessor();
  [[nodiscard]] std::optional<std::chrono::milliseconds> successor_time_left() const;

  Service service_;
  const LifecycleOptions options_;
  std::optional<Inheritance> inheritance_; ///< as long as the predecessor lives
  std::unique_ptr<Successor> successor_;   ///< that is not ready yet
  SteadyTime successor_deadline_;
  std::jthread watchdog_;
};

/// Removes what interrupted uploads left, but not what processes that live have in progress, when
/// there may be `others` than this one.
enum class Others : std::uint8_t {
  none,
  before_us,    ///< a predecessor, and we have no upload yet
  and_ourselves ///< we may have uploads too
};
Result<void> sweep_uploads(blob::Backend& backend, Others others, ops::Log& log);

} // namespace pkc::app
