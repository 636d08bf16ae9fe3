#include "tls_entrance.hpp"

#include "tls_session.hpp"

#include "pkc/base/bytes.hpp"

#include <chrono>
#include <cstddef>
#include <utility>

namespace pkc::http {

namespace {

constexpr std::string_view kPlainHttpAnswer =
    "HTTP/1.1 400 Bad Request\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: 57\r\n"
    "Connection: close\r\n"
    "\r\n"
    R"({"error":"this port speaks TLS: use an https:// address"})";
static_assert(kPlainHttpAnswer.size() - (kPlainHttpAnswer.find("\r\n\r\n") + 4) == 57);

/// Methods begin with a capital letter and TLS does not: its first byte is the type of a record.
bool begins_plain_http(std::byte first) {
  return first >= std::byte{'A'} && first <= std::byte{'Z'};
}

void report(const Connection& connection, std::string_view reason, const AccessLog& log) {
  if (log) {
    AccessRecord record;
    record.client_address = connection.peer;
    record.failure = reason;
    record.handshake = true;
    log(record);
  }
}

} // namespace

Result<std::unique_ptr<TlsEntrance>> TlsEntrance::open(TlsOptions options, const Clock& clock) {
  std::unique_ptr<TlsEntrance> entrance(new TlsEntrance(std::move(options), clock));
  TRY(entrance->reload());
  return entrance;
}

Result<TlsState> TlsEntrance::reload() {
  TRY_ASSIGN(auto loaded, TlsContext::load(options_, tickets_, clock_));
  TlsState state = loaded->state();
  context_.lock()->swap(loaded); // the old one goes without the lock, with its last connection
  return state;
}

/// Looks at the first byte before a session is made of some kilobytes: false for plain HTTP.
Result<bool> TlsEntrance::begin(Connection& connection) const {
  TRY_ASSIGN(const std::optional<std::byte> first, connection.socket.peek());
  if (first && begins_plain_http(*first)) {
    return false;
  }
  if (first) {
    TRY_ASSIGN(auto session, TlsSession::make(context(), connection.socket.descriptor()));
    connection.socket.begin_tls(std::move(session));
  }
  return true;
}

Next TlsEntrance::answer_plain_http(Connection& connection, const AccessLog& log) const {
  Pace no_wait(clock_, std::chrono::milliseconds{0});
  // An empty send buffer takes this at once.
  const bool sent =
      connection.socket.send_all(as_bytes(kPlainHttpAnswer), More::no, no_wait).has_value();
  if (log) {
    AccessRecord record;
    record.status = sent ? 400 : 0;
    record.client_address = connection.peer;
    log(record);
  }
  return sent ? Next::linger : Next::reset;
}

Next TlsEntrance::advance(Connection& connection, bool expired, const AccessLog& log) const {
  if (connection.socket.tls() == nullptr) {
    const auto is_tls = begin(connection);
    if (!is_tls) {
      return Next::close; // it left, or memory is short
    }
    if (!*is_tls) {
      return answer_plain_http(connection, log);
    }
  }
  if (expired) {
    if (connection.socket.tls() != nullptr) {
      report(connection, "TLS: the handshake did not end in time", log);
    }
    return Next::close;
  }
  if (connection.socket.tls() == nullptr) {
    return Next::wait;
  }
  const auto progress = connection.socket.tls()->handshake();
  if (!progress) {
    report(connection, progress.error().message, log);
    // Input may be unread, and a close would destroy the alert that explains the failure.
    return progress.error().code == Errc::unavailable ? Next::close : Next::linger;
  }
  if (progress->wait == TlsWait::nothing) {
    connection.head_deadline.reset();
    connection.phase = Phase::reading_head;
  }
  return Next::wait;
}

} // namespace pkc::http
