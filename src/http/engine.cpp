#include "engine.hpp"

#include "pkc/base/assert.hpp"

#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

namespace pkc::http {

namespace {

using std::chrono::milliseconds;

constexpr std::chrono::hours kGraceMax{24}; ///< keeps sums of times far from overflow
constexpr milliseconds kLingerIdle{5'000};
constexpr milliseconds kLingerTotal{30'000};
constexpr milliseconds kLingerStopping{250}; ///< instead of kLingerIdle
/// As ServerOptions::handover_quiet, for a stop, whose end somebody waits for.
constexpr milliseconds kStopQuiet{100};
constexpr int kLingerReadsInARow = 16;

/// The housekeeper's steps: while no worker is free, while stopping, and otherwise at most.
constexpr milliseconds kPressedTick{2};
constexpr milliseconds kStoppingTick{5};
constexpr milliseconds kSweepTickMax{500};
/// And while an answer waits for a time: it goes on so much late, at most.
constexpr milliseconds kTurnTick{20};
/// So many calm steps in a row end the frequent checks of the pool.
constexpr int kCalmSteps = 50;

milliseconds sweep_tick(const ServerOptions& options) {
  const milliseconds shortest = std::min({options.head_timeout,
                                          options.idle_timeout,
                                          options.body_timeout,
                                          options.write_timeout,
                                          kLingerIdle});
  return std::clamp(shortest / 4, kStoppingTick, kSweepTickMax);
}

/// How many workers may wait for bodies: a quarter of them, and at least one where there are more,
/// is left for those who only read.
std::size_t upload_places(const ServerOptions& options) {
  const std::size_t for_reads = std::max<std::size_t>(options.workers_max / 4, 1);
  return std::clamp<std::size_t>(options.workers_max - for_reads, 1, options.uploads_max);
}

/// How many may wait for the limit of a token: half of what is left to those who only read, so that
/// tokens at their limit keep nobody else out.
std::size_t paced_places(const ServerOptions& options) {
  return std::max<std::size_t>(options.workers_max / 8, 1);
}

} // namespace

Engine::Engine(Parts parts, ServerOptions options, Router router, AccessLog access_log)
    : site_{.options = std::move(options),
            .head_limits = {},
            .proxies = std::move(parts.proxies),
            .router = std::move(router),
            .access_log = std::move(access_log),
            .clock = system_clock(),
            .uploads = UploadLimit(upload_places(site_.options)),
            .paced = UploadLimit(paced_places(site_.options)),
            .waiting = std::move(parts.waiting),
            .cut_off = std::move(parts.cut_off)},
      listener_(std::move(parts.listener)),
      poller_(std::move(parts.poller)),
      tls_(std::move(parts.tls)) {
  site_.head_limits.head_size_max = site_.options.head_size_max;
}

Result<void> Engine::launch() {
  TRY(poller_.add(site_.waiting->descriptor(), site_.waiting.get()));
  workers_ = std::make_unique<WorkerPool>(
      site_.options.workers_min,
      site_.options.workers_max,
      [this](Worker& worker) { work(worker); },
      [this](void* event) { hand_on(event); });
  try {
    housekeeper_ = std::jthread([this](const std::stop_token& stop) { keep_house(stop); });
  } catch (const std::system_error&) {
    return fail(Errc::io, "cannot start a thread for the HTTP server");
  }
  if (workers_->size() == 0) {
    return fail(Errc::io, "cannot start a thread for the HTTP server");
  }
  return site_.options.accepts_at_start ? begin_accepting() : Result<void>{};
}

Result<std::unique_ptr<Server>> Engine::start(Parts parts,
                                              ServerOptions options,
                                              Router router,
                                              AccessLog access_log) {
  std::unique_ptr<Engine> engine(
      new Engine(std::move(parts), std::move(options), std::move(router), std::move(access_log)));
  TRY(engine->launch());
  return engine;
}

Engine::~Engine() {
  stop(milliseconds{0});
}

// ---- workers ------------------------------------------------------------------------------------

void Engine::work(Worker& worker) {
  Exchange exchange(site_, [&] { worker.hand_on_events([this](void* event) { hand_on(event); }); });
  do {
    while (void* event = worker.next_event()) {
      if (event == &listener_) {
        accept_connections();
      } else if (event == site_.waiting.get()) {
        handle_waiting(exchange);
      } else {
        handle(exchange, *static_cast<Connection*>(event));
      }
    }
  } while (wait_for_events(worker));
}

/// False when the worker is to end.
bool Engine::wait_for_events(Worker& worker) {
  std::array<void*, ReadyList::kCapacity>
      events; // NOLINT(cppcoreguidelines-pro-type-member-init): only read where set
  if (quitting_) {
    return false;
  }
  const std::size_t most = worker.begin_wait();
  const auto count = poller_.wait(std::span(events).first(most), site_.options.worker_idle_timeout);
  worker.end_wait();
  if (!count) {
    return !worker.try_retire();
  }
  const std::span<void* const> taken = std::span(events).first(*count);
  const std::size_t share = worker.share_of(taken.size());
  if (worker.keep_events(taken.first(share))) {
    call_housekeeper();
  }
  std::ranges::for_each(taken.subspan(share), [this](void* event) { hand_on(event); });
  return true;
}

/// Gives an event back to the poller, which tells another worker of it.
void Engine::hand_on(void* event) {
  if (event == &listener_) {
    arm_listener();
    return;
  }
  if (event == site_.waiting.get()) {
    arm_waiting();
    return;
  }
  auto& connection = *static_cast<Connection*>(event);
  const int fd = connection.socket.descriptor();
  connection.leave_parked();
  // The event may have been for a request that is in our memory already.
  if (!poller_.arm(fd, &connection, Poller::Wake::at_once)) {
    connection.unpark();
    remove(connection);
  }
}

/// One step of the state diagram, by the worker that got the event.
void Engine::handle(Exchange& exchange, Connection& connection) {
  const bool expired = connection.unpark();
  settle(exchange, connection, attempt([&] { return advance(exchange, connection, expired); }));
}

/// The same for one connection whose answer can go on; other workers come for the others.
void Engine::handle_waiting(Exchange& exchange) {
  const auto turn = site_.waiting->take();
  arm_waiting();
  if (turn) {
    Connection& connection = *turn->connection;
    connection.phase = Phase::reading_head;
    settle(exchange, connection, attempt([&] {
             return wait_if_dry(connection, exchange.resume(connection, *turn));
           }));
  }
}

void Engine::arm_waiting() {
  // Only a registration could fail, of which there is one already.
  const bool armed =
      poller_.arm(site_.waiting->descriptor(), site_.waiting.get(), Poller::Wake::on_input)
          .has_value();
  PKC_ASSERT(armed);
}

template <typename Step>
Next Engine::attempt(const Step& step) const {
  try {
    return step();
  } catch (const std::exception& exception) { // out of memory, or a body that throws
    log_failure(exception.what());
  } catch (...) {
    log_failure("unknown exception outside a handler");
  }
  return Next::reset;
}

void Engine::settle(Exchange& exchange, Connection& connection, Next next) {
  switch (next) {
    case Next::wait:
      park(connection,
           wait_deadline(exchange, connection),
           connection.socket.awaits_output() ? Poller::Wake::on_output : Poller::Wake::on_input);
      break;
    case Next::yield:
      park(connection, exchange.wait_deadline(connection), Poller::Wake::at_once);
      break;
    case Next::await:
      await(exchange, connection);
      break;
    case Next::linger:
      begin_linger(connection);
      park(connection, linger_step(connection), Poller::Wake::on_input);
      break;
    case Next::reset:
      connection.socket.reset_on_close();
      remove(connection);
      break;
    case Next::close:
      connection.socket.end_tls();
      remove(connection);
      break;
  }
}

void Engine::await(Exchange& exchange, Connection& connection) {
  PendingAnswer& pending = *connection.pending;
  connection.phase = Phase::waiting;
  // From here on the connection may belong to another worker already, unless this fails.
  const auto waits =
      pending.seat.wait(connection.socket.descriptor(), pending.watch, pending.deadline);
  if (!waits) {
    settle(exchange, connection, exchange.give_up(connection, waits.error().message));
  }
}

Next Engine::advance(Exchange& exchange, Connection& connection, bool expired) {
  if (connection.phase == Phase::lingering) {
    return advance_lingering(connection, expired);
  }
  if (connection.phase == Phase::handshaking) {
    const Next next = tls_->advance(connection, expired, site_.access_log);
    if (connection.phase == Phase::handshaking) {
      return next;
    }
    if (connection.turned_away) {
      return send_busy(connection) ? Next::linger : Next::reset;
    }
  }
  return wait_if_dry(connection, exchange.advance(connection, expired));
}

/// epoll knows nothing of what is buffered above the socket.
Next Engine::wait_if_dry(const Connection& connection, Next next) {
  return next == Next::wait && connection.socket.may_hold_input() ? Next::yield : next;
}

SteadyTime Engine::wait_deadline(const Exchange& exchange, Connection& connection) const {
  switch (connection.phase.load(std::memory_order_relaxed)) {
    case Phase::handshaking:
      PKC_ASSERT(connection.head_deadline.has_value());
      return *connection.head_deadline; // a step now and then does not move it
    case Phase::reading_head:
    case Phase::waiting:
      return exchange.wait_deadline(connection);
    case Phase::lingering:
      return linger_step(connection);
  }
  std::unreachable();
}

void Engine::park(Connection& connection, SteadyTime deadline, Poller::Wake wake) {
  const int fd = connection.socket.descriptor();
  connection.park(deadline);
  // From here on the connection may belong to another worker already, unless arming fails.
  if (!poller_.arm(fd, &connection, wake)) {
    remove(connection);
  }
}

void Engine::remove(Connection& connection) {
  turned_away_ -= connection.turned_away ? 1U : 0U;
  if (connection.counted) {
    clients_.remove(connection.peer);
  }
  table_.remove(connection);
  if (accepting_paused_) {
    resume_accepting();
  }
}

// A close with input unread makes the kernel send RST, and an RST makes the client's kernel drop
// the answer it has not read yet. So the answer is followed by FIN, and input is read and dropped
// until the client has seen it and closes.
void Engine::begin_linger(Connection& connection) const {
  connection.input = InputBuffer{};
  connection.linger_deadline = site_.clock.steady_now() + kLingerTotal;
  connection.phase = Phase::lingering;
  connection.socket.shutdown_write();
}

SteadyTime Engine::linger_step(const Connection& connection) const {
  const milliseconds step = site_.stopping ? kLingerStopping : kLingerIdle;
  return std::min(site_.clock.steady_now() + step, connection.linger_deadline);
}

Next Engine::advance_lingering(Connection& connection, bool expired) const {
  if (expired || site_.clock.steady_now() >= connection.linger_deadline) {
    return Next::close;
  }
  std::array<std::byte, 16 * kKiB>
      dropped; // NOLINT(cppcoreguidelines-pro-type-member-init): only written
  for (int reads = 0; reads < kLingerReadsInARow; ++reads) {
    const auto received = connection.socket.try_receive(dropped);
    if (!received || *received == 0U) {
      return Next::close;
    }
    if (!*received) {
      break;
    }
  }
  return Next::wait;
}

void Engine::log_failure(std::string_view failure) const {
  if (site_.access_log) {
    AccessRecord record;
    record.failure = failure;
    site_.access_log(record);
  }
}

// ---- housekeeping -------------------------------------------------------------------------------

void Engine::call_housekeeper() {
  if (!pressed_.exchange(true)) { // never a mere look: see check_pool()
    {
      const std::lock_guard lock(house_mutex_);
    } // the housekeeper is before or in its wait, not between
    house_call_.notify_one();
  }
}

void Engine::keep_house(const std::stop_token& stop) {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "http-house")); // for humans only
  const milliseconds calm_tick = sweep_tick(site_.options);
  SteadyTime next_sweep = site_.clock.steady_now() + calm_tick;
  int calm_steps = 0;
  while (!stop.stop_requested()) {
    if (pressed_) {
      check_pool(calm_steps);
    }
    const SteadyTime now = site_.clock.steady_now();
    if (site_.stopping || now >= next_sweep) {
      const bool soon = sweep(now + calm_tick);
      next_sweep = now + (soon ? std::min(calm_tick, kTurnTick) : calm_tick);
    }
    std::unique_lock lock(house_mutex_);
    if (site_.stopping || pressed_) {
      house_call_.wait_for(
          lock, stop, site_.stopping ? kStoppingTick : kPressedTick, [] { return false; });
    } else {
      house_call_.wait_until(
          lock, stop, next_sweep, [this] { return pressed_.load() || site_.stopping; });
    }
  }
}

void Engine::check_pool(int& calm_steps) {
  calm_steps = workers_->grow() ? 0 : calm_steps + 1;
  if (calm_steps < kCalmSteps) {
    return;
  }
  calm_steps = 0;
  // A worker that found it set did not call. What it wanted seen it had written before, so the
  // exchange shows it to us now.
  static_cast<void>(pressed_.exchange(false));
  if (workers_->grow()) {
    pressed_ = true;
  }
}

/// True when the time of an answer that waits has come, or does so before `next`.
bool Engine::sweep(SteadyTime next) {
  table_.expire_due(site_.clock.steady_now());
  const bool soon = site_.waiting->expire_due(site_.clock.steady_now(), next);
  if (site_.stopping) {
    table_.expire_waiting(site_.clock.steady_now(), patience_);
  }
  workers_->reap();
  if (accepting_paused_) {
    resume_accepting();
  }
  return soon;
}

// ---- TLS ----------------------------------------------------------------------------------------

std::optional<TlsState> Engine::tls() const {
  return tls_ == nullptr ? std::nullopt : std::optional(tls_->state());
}

Result<TlsState> Engine::reload_tls() {
  return tls_ == nullptr ? fail(Errc::invalid_argument, "the server does not speak TLS")
                         : tls_->reload();
}

// ---- stopping -----------------------------------------------------------------------------------

SocketOwnership Engine::ownership() const {
  return {.shared = listener_.shared,
          .file = listener_.file ? std::optional(listener_.file->id()) : std::nullopt};
}

bool Engine::stop(milliseconds grace) {
  std::call_once(stop_once_, [&] {
    stopped_cleanly_ =
        shut_down({.grace = grace, .first_request = kStopQuiet, .next_request = kStopQuiet});
  });
  return stopped_cleanly_;
}

bool Engine::hand_over(milliseconds grace) {
  std::call_once(stop_once_, [&] {
    listener_.shared = true;
    if (listener_.file) {
      listener_.file->give_up();
    }
    stopped_cleanly_ = shut_down({.grace = grace,
                                  .first_request = site_.options.head_timeout,
                                  .next_request = site_.options.handover_quiet});
  });
  return stopped_cleanly_;
}

bool Engine::shut_down(Drain drain) {
  drain.grace = std::min<milliseconds>(drain.grace, kGraceMax);
  const SteadyTime now = site_.clock.steady_now();
  const SteadyTime deadline = now + drain.grace;
  patience_ = {.first_request = now + std::min(drain.first_request, drain.grace),
               .next_request = now + std::min(drain.next_request, drain.grace)};
  site_.stopping = true;
  listener_.file.reset(); // a successor may take the name while we drain
  if (!listener_.shared) {
    // The descriptor stays open until no worker can be in accept() with it.
    static_cast<void>(::shutdown(listener_.socket.get(), SHUT_RDWR));
  }
  // Who has just been accepted is waited for like all others.
  for (int accepting = accepting_; accepting != 0; accepting = accepting_) {
    accepting_.wait(accepting);
  }
  call_housekeeper();
  std::size_t cut_off = 0;
  if (!table_.wait_until_empty(deadline)) {
    cut_off = table_.cut_off(*site_.cut_off);
    site_.waiting->end();
    table_.wait_until_empty();
  }
  if (housekeeper_.joinable()) { // not so when start() failed
    housekeeper_.request_stop();
    housekeeper_.join();
  }
  quitting_ = true;
  poller_.interrupt();
  workers_->join_all();
  const std::lock_guard lock(listener_mutex_);
  listener_.socket.reset();
  return cut_off == 0;
}

} // namespace pkc::http
