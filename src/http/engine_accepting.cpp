// How clients come in, or are told why not: the part of Engine between accept() and the table of
// connections.
#include "engine.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <string_view>
#include <utility>

namespace pkc::http {

namespace {

using std::chrono::milliseconds;

constexpr int kAcceptsInARow = 64;
/// Connections beyond connections_max that may wait for their 503 to be read: a quarter of those
/// within it, but not fewer or more than this. Each costs a descriptor.
constexpr std::size_t kTurnedAwayMin = 8;
constexpr std::size_t kTurnedAwayMax = 256;

/// Being out of descriptors is told once in a while, not for every client.
constexpr milliseconds kPauseLogInterval{1'000};

constexpr std::string_view kBusyAnswer =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Retry-After: 1\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 32\r\n"
    "Connection: close\r\n"
    "\r\n"
    R"({"error":"too many connections"})";
static_assert(kBusyAnswer.size() - (kBusyAnswer.find("\r\n\r\n") + 4) == 32);

/// accept() also reports what went wrong on the way to the new connection, which is not ours to
/// care for; these are about us.
bool is_out_of_resources(int error_number) {
  return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
         error_number == ENOMEM;
}

} // namespace

Result<void> Engine::begin_accepting() {
  return poller_.add(listener_.socket.get(), &listener_);
}

void Engine::accept_connections() {
  ++accepting_;
  accept_pending();
  --accepting_;
  accepting_.notify_all();
}

void Engine::accept_pending() {
  for (int accepted = 0; accepted < kAcceptsInARow; ++accepted) {
    if (site_.stopping) {
      return; // whoever shares the listener gets the rest; it stays disarmed
    }
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    UniqueFd fd(::accept4(listener_.socket.get(),
                          reinterpret_cast<sockaddr*>(&address),
                          &size,
                          SOCK_NONBLOCK | SOCK_CLOEXEC));
    const int error_number = errno;
    if (fd) {
      admit(std::move(fd), format_address(address));
      continue;
    }
    if (site_.stopping) {
      return; // the listener is shut down and stays disarmed
    }
    if (is_out_of_resources(error_number)) {
      pause_accepting(error_number);
      return;
    }
    if (error_number == EAGAIN) {
      break;
    }
  }
  arm_listener();
}

void Engine::arm_listener() {
  // Failure is out of memory in the kernel: the housekeeper tries again.
  if (!poller_.arm(listener_.socket.get(), &listener_, Poller::Wake::on_input)) {
    accepting_paused_ = true;
  }
}

void Engine::admit(UniqueFd fd, std::string peer) {
  if (peer != kUnixPeer) {
    const int on = 1;
    // Answers go out in whole pieces, so Nagle's algorithm could only delay their last segment.
    static_cast<void>(::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
  }
  auto accepted =
      std::make_unique<Connection>(Socket(std::move(fd), site_.cut_off.get()), std::move(peer));
  accepted_.fetch_add(1, std::memory_order_relaxed);
  if (table_.size() >= site_.options.connections_max + turned_away_) {
    refused_connections_.fetch_add(1, std::memory_order_relaxed);
    turn_away(std::move(accepted));
  } else if (!count_client(*accepted)) {
    refused_per_client_.fetch_add(1, std::memory_order_relaxed);
    turn_away(std::move(accepted));
  } else {
    take_in(std::move(accepted));
  }
}

/// Connections that the kernel holds until they are accepted; nothing for a Unix socket.
std::optional<std::size_t> Engine::connections_queued() {
  const std::lock_guard lock(listener_mutex_);
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (::getsockopt(listener_.socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
    return std::nullopt;
  }
  return info.tcpi_unacked; // so it is for a listener: tcp(7) does not say, ss(8) relies on it
}

ServerLoad Engine::load() {
  const ConnectionTable::Census census = table_.count();
  return {.connections = census.all,
          .connections_active = census.active,
          .connections_waiting = census.waiting,
          .connections_handshaking = census.handshaking,
          .connections_closing = census.lingering,
          .connections_max = site_.options.connections_max,
          .connections_queued = connections_queued(),
          .workers = workers_->size(),
          .workers_busy = workers_->busy(),
          .workers_max = workers_->size_max(),
          .uploads = site_.uploads.taken(),
          .uploads_max = site_.uploads.max(),
          .accepted = accepted_.load(std::memory_order_relaxed),
          .refused_connections = refused_connections_.load(std::memory_order_relaxed),
          .refused_per_client = refused_per_client_.load(std::memory_order_relaxed),
          .refused_uploads = site_.uploads.refused(),
          .refused_paced = site_.paced.refused()};
}

void Engine::take_in(std::unique_ptr<Connection> accepted) {
  const SteadyTime now = site_.clock.steady_now();
  if (tls_ != nullptr) {
    accepted->phase = Phase::handshaking;
    accepted->head_deadline = now + site_.options.head_timeout;
  }
  const SteadyTime deadline = accepted->head_deadline.value_or(now + site_.options.idle_timeout);
  Connection& connection = table_.add(std::move(accepted));
  connection.park(deadline);
  if (!poller_.add(connection.socket.descriptor(), &connection)) {
    remove(connection);
  }
}

/// False when the client has as many connections as one client may. A trusted proxy stands for
/// many clients, as does whoever comes by a Unix socket, so their connections are not counted.
bool Engine::count_client(Connection& connection) {
  const std::size_t max = site_.options.connections_per_client_max;
  if (max == 0 || connection.peer == kUnixPeer || site_.proxies.trusts(connection.peer)) {
    return true;
  }
  connection.counted = clients_.try_add(connection.peer, max);
  return connection.counted;
}

bool Engine::send_busy(Connection& connection) const {
  Pace no_wait(site_.clock, milliseconds{0});
  // An empty send buffer takes this at once; a client that could not get it gets the close.
  const bool sent =
      connection.socket.send_all(as_bytes(kBusyAnswer), More::no, no_wait).has_value();
  if (site_.access_log) {
    AccessRecord record;
    record.status = sent ? 503 : 0;
    record.client_address = connection.peer;
    site_.access_log(record);
  }
  return sent;
}

/// Such a client is told why, which by TLS takes a handshake first, unless too many are being told.
void Engine::turn_away(std::unique_ptr<Connection> connection) {
  const bool told = tls_ != nullptr || send_busy(*connection);
  const std::size_t lingering_max =
      std::clamp(site_.options.connections_max / 4, kTurnedAwayMin, kTurnedAwayMax);
  if (!told) {
    connection->socket.reset_on_close(); // some of the answer may have left
  }
  if (!told || turned_away_ >= lingering_max) {
    return;
  }
  ++turned_away_;
  connection->turned_away = true;
  if (tls_ != nullptr) {
    take_in(std::move(connection));
    return;
  }
  const int number = connection->socket.descriptor();
  begin_linger(*connection);
  Connection& added = table_.add(std::move(connection));
  added.park(linger_step(added));
  if (!poller_.add(number, &added)) {
    remove(added);
  }
}

// The listener stays disarmed, and new clients wait in the kernel's backlog, until a connection
// closes or the housekeeper comes by: with the listener armed the workers would spin.
void Engine::pause_accepting(int error_number) {
  accepting_paused_ = true;
  const SteadyTime now = site_.clock.steady_now();
  SteadyTime logged = pause_logged_;
  const bool due = logged == SteadyTime{} || now - logged >= kPauseLogInterval;
  if (due && pause_logged_.compare_exchange_strong(logged, now)) {
    log_failure(fail_errno(error_number, "cannot accept connections").error().message);
  }
}

void Engine::resume_accepting() {
  if (site_.stopping || !accepting_paused_.exchange(false)) {
    return;
  }
  arm_listener();
}

} // namespace pkc::http
