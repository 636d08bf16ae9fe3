// Engine: the server behind Server. Accepts, parks connections in epoll, hands those with input to
// workers.
#pragma once

#include "client_counts.hpp"
#include "connection_table.hpp"
#include "cut_off.hpp"
#include "exchange.hpp"
#include "listener.hpp"
#include "poller.hpp"
#include "tls_entrance.hpp"
#include "waiting_room.hpp"
#include "worker_pool.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace pkc::http {

/// The states of a connection, and what moves it:
///
///     accept ──► parked, reading_head ──input──► owned by a worker ──► closed
///        │            ▲      │                      │   │    ▲
///        │ TLS        │      └──deadline: 408, or───┼───┼────┘
///        │            └──────── answered, kept ─────┘   │ answered, not kept
///        ▼            │ done                            ▼
///     parked, handshaking ──failed──► parked, lingering ──input ends or deadline──► closed
///        │                                                                            ▲
///        └──deadline──────────────────────────────────────────────────────────────────┘
///
/// A worker may also leave a connection in the WaitingRoom (phase waiting) when its answer cannot
/// go on, and a worker gets it back from there.
///
/// Threads: workers (Exchange serves, blocking), and one housekeeper that enforces the deadlines of
/// parked connections and the size of the pool. Thread-safe.
class Engine final : public Server {
 public:
  /// What start() makes before there are threads.
  struct Parts {
    Listener listener;
    Poller poller;
    TrustedProxies proxies;
    std::unique_ptr<TlsEntrance> tls; ///< null: requests come in clear
    std::shared_ptr<WaitingRoom> waiting;
    std::unique_ptr<CutOff> cut_off;
  };

  /// Errors: io when the machine gives no thread.
  static Result<std::unique_ptr<Server>> start(Parts parts,
                                               ServerOptions options,
                                               Router router,
                                               AccessLog access_log);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) = delete;
  Engine& operator=(Engine&&) = delete;
  ~Engine() override;

  [[nodiscard]] std::uint16_t port() const override { return listener_.port; }
  [[nodiscard]] const std::string& address() const override { return listener_.address; }
  [[nodiscard]] ServerLoad load() override;
  [[nodiscard]] int listening_descriptor() const override { return listener_.socket.get(); }
  [[nodiscard]] SocketOwnership ownership() const override;
  Result<void> begin_accepting() override;
  [[nodiscard]] std::optional<TlsState> tls() const override;
  Result<TlsState> reload_tls() override;
  bool stop(std::chrono::milliseconds grace) override;
  bool hand_over(std::chrono::milliseconds grace) override;

 private:
  Engine(Parts parts, ServerOptions options, Router router, AccessLog access_log);

  Result<void> launch();

  void work(Worker& worker);
  [[nodiscard]] bool wait_for_events(Worker& worker);
  void hand_on(void* event);
  void handle(Exchange& exchange, Connection& connection);
  void handle_waiting(Exchange& exchange);
  template <typename Step>
  Next attempt(const Step& step) const;
  void settle(Exchange& exchange, Connection& connection, Next next);
  void await(Exchange& exchange, Connection& connection);
  void arm_waiting();
  [[nodiscard]] static Next wait_if_dry(const Connection& connection, Next next);
  Next advance(Exchange& exchange, Connection& connection, bool expired);
  [[nodiscard]] Next advance_lingering(Connection& connection, bool expired) const;
  [[nodiscard]] SteadyTime wait_deadline(const Exchange& exchange, Connection& connection) const;
  void park(Connection& connection, SteadyTime deadline, Poller::Wake wake);
  void begin_linger(Connection& connection) const;
  [[nodiscard]] SteadyTime linger_step(const Connection& connection) const;
  void remove(Connection& connection);

  void accept_connections();
  void accept_pending();
  void admit(UniqueFd fd, std::string peer);
  bool count_client(Connection& connection);
  void take_in(std::unique_ptr<Connection> accepted);
  void turn_away(std::unique_ptr<Connection> connection);
  void arm_listener();
  [[nodiscard]] std::optional<std::size_t> connections_queued();
  [[nodiscard]] bool send_busy(Connection& connection) const;
  void pause_accepting(int error_number);
  void resume_accepting();
  void log_failure(std::string_view failure) const;

  void keep_house(const std::stop_token& stop);
  void check_pool(int& calm_steps);
  bool sweep(SteadyTime next);
  void call_housekeeper();
  /// Durations from the stop on.
  struct Drain {
    std::chrono::milliseconds grace;
    std::chrono::milliseconds first_request;
    std::chrono::milliseconds next_request;
  };
  bool shut_down(Drain drain);

  Site site_;
  std::mutex listener_mutex_; ///< between the end of listener_.socket and who only asks about it
  Listener listener_;
  Poller poller_;
  std::unique_ptr<TlsEntrance> tls_; ///< null: requests come in clear
  ConnectionTable table_;
  ClientCounts clients_;
  std::atomic<std::size_t> turned_away_ = 0; ///< connections that do not count for the limit
  std::atomic<std::uint64_t> accepted_ = 0;  ///< ever, as are the next two
  std::atomic<std::uint64_t> refused_connections_ = 0;
  std::atomic<std::uint64_t> refused_per_client_ = 0;
  std::atomic<bool> accepting_paused_ = false;
  std::atomic<int> accepting_ = 0;       ///< workers that may be between accept() and the table
  std::atomic<SteadyTime> pause_logged_; ///< when the operator was last told
  std::atomic<bool> quitting_ = false;   ///< workers return

  std::mutex house_mutex_; ///< for the condition only; the flag is the data
  std::condition_variable_any house_call_;
  std::atomic<bool> pressed_ = false; ///< no worker waits, so the pool is checked often

  std::once_flag stop_once_;
  bool stopped_cleanly_ = false;
  ConnectionTable::Patience patience_; ///< set before site_.stopping

  std::unique_ptr<WorkerPool> workers_; ///< after everything that its threads use
  std::jthread housekeeper_;
};

} // namespace pkc::http
