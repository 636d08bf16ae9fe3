#include "lifecycle.hpp"

#include "tls_report.hpp"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::app {

namespace {

void call(const std::function<void()>& function) {
  if (function) {
    function();
  }
}

} // namespace

Result<void> sweep_uploads(blob::Backend& backend, Others others, ops::Log& log) {
  const auto alive = [others](std::int64_t process) {
    const bool ours = process == ::getpid();
    switch (others) {
      case Others::none:
        return false;
      case Others::before_us:
        return !ours && process_lives(process);
      case Others::and_ourselves:
        return ours || process_lives(process);
    }
    std::unreachable();
  };
  TRY_ASSIGN(const std::size_t swept, backend.sweep_uploads(alive));
  if (swept > 0) {
    log.info("removed interrupted uploads", {{"count", swept}});
  }
  return {};
}

Result<void> Lifecycle::run() {
  const bool succeeding = inheritance_.has_value();
  TRY(succeed());
  TRY(serve_metrics(succeeding));
  call(service_.before_accepting);
  TRY(service_.server.begin_accepting());
  report_tls(service_.server, service_.log);
  const std::string address = shown_address(service_.server);
  service_.log.info("listening", {{"address", address}});
  service_.log.flush();
  service_.notifier.ready(address);
  watch();
  for (Job* const job : service_.jobs) {
    job->start();
  }
  TRY_ASSIGN(const End end, serve());
  return finish(end);
}

/// Lets the predecessor, if there is one, know that we could serve, and waits for its word. Before
/// it the manager would not listen to us, and a client that we had taken would be lost if the
/// predecessor gave us up.
Result<void> Lifecycle::succeed() {
  if (!inheritance_) {
    return {};
  }
  const int channel = inheritance_->channel.get();
  report_ready(channel);
  // Other signals than those to end are for a process that serves, and this one has just started.
  for (Wakeup woken; woken.descriptor != channel;) {
    TRY_ASSIGN(woken, service_.signals.wait({channel}));
    if (woken.signal == SIGTERM || woken.signal == SIGINT) {
      return fail(Errc::unavailable, "stopped by a signal before it took over");
    }
  }
  service_.log.info("took over from a predecessor");
  if (!inheritance_->predecessor) {
    forget_predecessor();
  }
  return {};
}

/// A predecessor gives the address up just before it lets us accept. Then there is no way back: a
/// cache without metrics is better than none.
Result<void> Lifecycle::serve_metrics(bool succeeding) {
  auto started = service_.metrics.start();
  if (!started && succeeding) {
    service_.log.error("metrics are not served", {{"reason", started.error().message}});
    return {};
  }
  return started;
}

void Lifecycle::reload() {
  if (service_.access_log != nullptr) {
    if (const auto reopened = service_.access_log->reopen(); reopened) {
      service_.log.info("access log opened again");
    } else {
      service_.log.error("access log not opened again, the old file stays in use",
                         {{"reason", reopened.error().message}});
    }
  }
  const bool by_tokens = service_.auth != nullptr && service_.auth->has_file();
  if (by_tokens) {
    service_.auth->reload();
  }
  const bool something_else = service_.access_log != nullptr || by_tokens;
  if (!something_else || service_.server.tls()) {
    reload_tls(service_.server, service_.log);
  }
  service_.log.flush();
}

void Lifecycle::watch() {
  auto watchdog = service_.notifier.watch();
  if (watchdog) {
    watchdog_ = *std::move(watchdog);
  } else {
    service_.log.error("the service manager will hear no signs of life",
                       {{"reason", watchdog.error().message}});
  }
}

Result<Lifecycle::End> Lifecycle::serve() {
  for (;;) {
    const int successor = successor_ ? successor_->descriptor() : -1;
    const int predecessor = inheritance_ ? inheritance_->predecessor.get() : -1;
    TRY_ASSIGN(const Wakeup woken,
               service_.signals.wait({successor, predecessor}, successor_time_left()));
    if (woken.signal == SIGUSR2) {
      start_successor();
    } else if (woken.signal == SIGHUP) {
      reload();
    } else if (woken.signal != 0) {
      if (successor_) {
        give_up_successor("this server is told to stop");
      }
      return End::stop;
    } else if (woken.descriptor == -1) {
      give_up_successor("it was not ready in time");
    } else if (woken.descriptor == predecessor) {
      forget_predecessor();
    } else if (let_successor_accept()) {
      return End::hand_over;
    }
  }
}

std::optional<std::chrono::milliseconds> Lifecycle::successor_time_left() const {
  if (!successor_) {
    return std::nullopt;
  }
  return std::chrono::ceil<std::chrono::milliseconds>(successor_deadline_ -
                                                      service_.clock.steady_now());
}

void Lifecycle::start_successor() {
  if (successor_) {
    service_.log.warn("a hand-over is under way already", {{"pid", successor_->process()}});
    return;
  }
  const auto& program = service_.program;
  auto started = program ? Successor::start(*program,
                                            {.listener = service_.server.listening_descriptor(),
                                             .ownership = service_.server.ownership(),
                                             .lock = service_.backend.lock_descriptor()})
                         : std::unexpected(program.error());
  if (!started) {
    service_.log.error("cannot hand over; serving on", {{"reason", started.error().message}});
    return;
  }
  successor_ = *std::move(started);
  successor_deadline_ = service_.clock.steady_now() + options_.successor_patience;
  service_.log.info("successor started",
                    {{"pid", successor_->process()}, {"program", program->path}});
  service_.log.flush(); // before the successor writes to the same output
}

/// True when the successor has the clients from now on.
bool Lifecycle::let_successor_accept() {
  if (const auto ready = successor_->take_report(); !ready) {
    give_up_successor(ready.error().message);
    return false;
  }
  // The manager hears no signs of life of ours once it knows of the successor.
  watchdog_ = std::jthread();
  if (const auto told = service_.notifier.handed_over_to(successor_->process()); !told) {
    give_up_successor("the service manager could not be told: " + told.error().message);
    watch();
    return false;
  }
  service_.metrics.stop(); // the successor listens there in a moment
  call(service_.before_handing_over);
  successor_->accept();
  return true;
}

void Lifecycle::give_up_successor(std::string_view reason) {
  successor_.reset();
  service_.log.error("the successor is given up; serving on", {{"reason", reason}});
}

void Lifecycle::forget_predecessor() {
  inheritance_.reset();
  if (const auto swept = sweep_uploads(service_.backend, Others::and_ourselves, service_.log);
      !swept) {
    service_.log.warn("the uploads of the predecessor could not be removed",
                      {{"reason", swept.error().message}});
  }
  call(service_.predecessor_gone);
}

Result<void> Lifecycle::finish(End end) {
  for (Job* const job : service_.jobs) {
    job->stop();
  }
  if (end == End::stop) {
    // Not after a hand-over: the service goes on.
    service_.notifier.stopping();
    service_.readiness.stop();
  }
  service_.log.info(end == End::stop ? "shutting down" : "handing over",
                    {{"grace", format_duration(options_.grace)}});
  service_.log.flush();
  const UniqueFd stopped(::eventfd(0, EFD_CLOEXEC));
  if (!stopped) {
    return fail_errno(errno, "eventfd");
  }
  const std::jthread stopper([&] {
    const bool clean = end == End::stop ? service_.server.stop(options_.grace)
                                        : service_.server.hand_over(options_.grace);
    if (!clean) {
      service_.log.warn("requests in flight were cut off after the grace period");
    }
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stopped.get(), &one, sizeof one);
  });
  // A service manager tells all processes of a service to stop. For one that hands over that is the
  // first time, and it finishes as it would anyway.
  int stops = end == End::stop ? 1 : 0;
  for (;;) {
    TRY_ASSIGN(const Wakeup woken, service_.signals.wait({stopped.get()}));
    if (woken.descriptor == stopped.get()) {
      return {};
    }
    stops += woken.signal == SIGTERM || woken.signal == SIGINT ? 1 : 0;
    if (stops == 2) {
      // At once is at once: what is half uploaded is swept at the next start.
      service_.log.warn("stopped by a second signal");
      service_.log.flush();
      std::_Exit(EXIT_SUCCESS);
    }
  }
}

} // namespace pkc::app
