#include "connection.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

namespace pkc::net {

namespace {

using std::chrono::milliseconds;

/// How long one address is waited for before the next one is tried beside it (RFC 8305 section 5).
constexpr milliseconds kNextAddressAfter{250};

std::unexpected<Error> gone(int error_number) {
  return fail(Errc::unavailable, std::generic_category().message(error_number));
}

struct SocketName {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketName name_of(const Address& address, std::uint16_t port) {
  SocketName name;
  if (address.is_v4()) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes().data(), sizeof(v4.sin_addr));
    std::memcpy(&name.storage, &v4, sizeof(v4));
    name.size = sizeof(v4);
  } else {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, address.bytes().data(), sizeof(v6.sin6_addr));
    std::memcpy(&name.storage, &v6, sizeof(v6));
    name.size = sizeof(v6);
  }
  return name;
}

/// Several attempts to connect at a time, of which the first that succeeds wins.
class Race {
 public:
  Race(std::span<const Address> addresses, std::uint16_t port)
      : addresses_(addresses), port_(port) {}

  /// Waits for the next thing to happen, and does what is to be done then. No socket: nobody has
  /// won yet. Errors: those of Connection::open().
  Result<UniqueFd> step(const Patience& patience, SteadyTime until) {
    const SteadyTime now = system_clock().steady_now();
    if (has_next() && (running_.empty() || now >= next_start_)) {
      TRY(start());
      next_start_ = patience.in(kNextAddressAfter);
      return UniqueFd();
    }
    if (running_.empty()) {
      return gone(last_error_);
    }
    const SteadyTime limit = has_next() ? std::min(next_start_, until) : until;
    TRY_ASSIGN(const bool ready, patience.wait(polled_, limit));
    if (!ready && limit == until) {
      return fail(Errc::timeout, "no connection in time");
    }
    return ready ? take_winner() : UniqueFd();
  }

 private:
  [[nodiscard]] bool has_next() const { return next_ < addresses_.size(); }

  /// Begins the next attempt. An error is one of this machine; that of the peer is kept.
  Result<void> start() {
    const Address& address = addresses_[next_++];
    UniqueFd socket(::socket(
        address.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int error_number = errno;
    if (!socket) {
      last_error_ = error_number;
      return error_number == EAFNOSUPPORT ? Result<void>{} : fail_errno(error_number, "socket");
    }
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const SocketName name = name_of(address, port_);
    const int connected = ::connect(socket.get(), name.get(), name.size);
    error_number = errno;
    if (connected == 0 || error_number == EINPROGRESS) {
      polled_.push_back({.fd = socket.get(), .events = POLLOUT, .revents = 0});
      running_.push_back(std::move(socket));
    } else {
      last_error_ = error_number;
    }
    return {};
  }

  /// The socket that is connected, if there is one. Those that failed are dropped.
  UniqueFd take_winner() {
    ::poll(polled_.data(), polled_.size(), 0);
    for (std::size_t i = polled_.size(); i-- > 0;) {
      if (polled_[i].revents == 0) {
        continue;
      }
      int error_number = 0;
      socklen_t size = sizeof(error_number);
      ::getsockopt(polled_[i].fd, SOL_SOCKET, SO_ERROR, &error_number, &size);
      if (error_number == 0) {
        return std::move(running_[i]);
      }
      last_error_ = error_number;
      polled_.erase(polled_.begin() + static_cast<std::ptrdiff_t>(i));
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return {};
  }

  std::span<const Address> addresses_;
  std::uint16_t port_;
  std::size_t next_ = 0;
  SteadyTime next_start_;
  int last_error_ = EHOSTUNREACH;
  std::vector<pollfd> polled_;
  std::vector<UniqueFd> running_; ///< of the same indices
};

} // namespace

Result<std::unique_ptr<Connection>> Connection::open(std::span<const Address> addresses,
                                                     std::uint16_t port,
                                                     const Patience& patience,
                                                     SteadyTime until) {
  Race race(addresses, port);
  for (;;) {
    TRY_ASSIGN(UniqueFd winner, race.step(patience, until));
    if (winner) {
      return std::unique_ptr<Connection>(new Connection(std::move(winner)));
    }
  }
}

Result<short> Connection::judge_tls(int result, int error_number) {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    case SSL_ERROR_ZERO_RETURN:
      return short{0};
    case SSL_ERROR_SYSCALL:
      ERR_clear_error();
      return error_number != 0 ? gone(error_number)
                               : fail(Errc::unavailable, "TLS: the peer broke off");
    default: {
      const long verified = SSL_get_verify_result(tls_.get());
      const std::string failure = tls_failure();
      return fail(Errc::unavailable,
                  verified == X509_V_OK ? "TLS: " + failure
                                        : "TLS: the certificate: " +
                                              std::string(X509_verify_cert_error_string(verified)));
    }
  }
}

Result<void> Connection::start_tls(const TlsClient& tls,
                                   const std::string& host,
                                   const Patience& patience,
                                   SteadyTime until) {
  TRY_ASSIGN(tls_, tls.begin(socket_.get(), host));
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(tls_.get());
    const int error_number = errno;
    if (result == 1) {
      return {};
    }
    TRY_ASSIGN(const short events, judge_tls(result, error_number));
    if (events == 0) {
      return fail(Errc::unavailable, "TLS: the peer ended");
    }
    TRY(patience.wait_for(socket_.get(), events, until, "no TLS in time"));
  }
}

Result<short> Connection::try_read(MutableByteSpan buffer, std::size_t& done) {
  errno = 0;
  if (tls_) {
    ERR_clear_error();
    const int result = SSL_read_ex(tls_.get(), buffer.data(), buffer.size(), &done);
    const int error_number = errno;
    return result == 1 ? Result<short>(short{0}) : judge_tls(result, error_number);
  }
  const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
  const int error_number = errno;
  if (got >= 0) {
    done = static_cast<std::size_t>(got);
    return short{0};
  }
  return error_number == EAGAIN || error_number == EINTR ? Result<short>(POLLIN)
                                                         : gone(error_number);
}

Result<short> Connection::try_write(ByteSpan bytes, std::size_t& done) {
  errno = 0;
  if (tls_) {
    ERR_clear_error();
    const int result = SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &done);
    const int error_number = errno;
    return result == 1 ? Result<short>(short{0}) : judge_tls(result, error_number);
  }
  const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  const int error_number = errno;
  if (sent >= 0) {
    done = static_cast<std::size_t>(sent);
    return short{0};
  }
  return error_number == EAGAIN || error_number == EINTR ? Result<short>(POLLOUT)
                                                         : gone(error_number);
}

Result<void> Connection::wait_to_read(short events,
                                      const Patience& patience,
                                      SteadyTime until,
                                      const Lull* lull) const {
  if (lull != nullptr) {
    const pollfd one{.fd = socket_.get(), .events = events, .revents = 0};
    TRY_ASSIGN(const bool ready,
               patience.wait({&one, 1}, std::min(until, patience.in(lull->after))));
    if (ready) {
      return {};
    }
    TRY(lull->call());
  }
  return patience.wait_for(socket_.get(), events, until, "the peer sends nothing");
}

Result<std::size_t> Connection::read(MutableByteSpan buffer,
                                     const Patience& patience,
                                     milliseconds idle,
                                     const Lull* lull) {
  const SteadyTime until = patience.in(idle);
  TRY(patience.check());
  for (;;) {
    std::size_t done = 0;
    TRY_ASSIGN(const short events, try_read(buffer, done));
    if (events == 0) {
      return done;
    }
    TRY(wait_to_read(events, patience, until, lull));
  }
}

Result<void> Connection::write_some(ByteSpan& bytes, const Patience& patience, SteadyTime until) {
  std::size_t done = 0;
  TRY_ASSIGN(const short events, try_write(bytes, done));
  if (events != 0) {
    return patience.wait_for(socket_.get(), events, until, "the peer takes nothing");
  }
  if (done == 0) {
    return fail(Errc::unavailable, "TLS: the peer ended");
  }
  bytes = bytes.subspan(done);
  return {};
}

Result<void> Connection::write(ByteSpan bytes, const Patience& patience, milliseconds idle) {
  while (!bytes.empty()) {
    TRY(write_some(bytes, patience, patience.in(idle)));
  }
  return {};
}

bool Connection::is_quiet() const {
  char byte = 0;
  if (tls_) {
    ERR_clear_error();
    std::size_t size = 0;
    const int result = SSL_peek_ex(tls_.get(), &byte, 1, &size);
    const bool waits = result != 1 && SSL_get_error(tls_.get(), result) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    return waits;
  }
  const ssize_t got = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const int error_number = errno;
  return got < 0 && error_number == EAGAIN;
}

} // namespace pkc::net
