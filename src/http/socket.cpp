#include "socket.hpp"

#include "cut_off.hpp"
#include "splice_pipe.hpp"
#include "tls_session.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <utility>

namespace pkc::http {

namespace {

/// sendfile's own limit is 2 GiB; smaller steps keep the progress visible to the timeout.
constexpr ByteCount kSendFileStepMax = 64 * kMiB;

static_assert(EAGAIN == EWOULDBLOCK); // on Linux one number, so one comparison

std::unexpected<Error> fail_transfer(int error_number, std::string_view what) {
  Error error = fail_errno(error_number, what).error();
  error.code = Errc::unavailable;
  return std::unexpected(std::move(error));
}

/// After a transfer out that failed: nothing when it can be tried again at once.
Result<std::optional<SendStep>> judge_send(int error_number, std::string_view what) {
  if (error_number == EAGAIN) {
    return SendStep{.wait = SendStep::Wait::output};
  }
  return error_number == EINTR ? Result<std::optional<SendStep>>(std::nullopt)
                               : fail_transfer(error_number, what);
}

std::unexpected<Error> fail_slow() {
  return fail(Errc::timeout, "the client is too slow");
}

/// Whatever a peer did to end TLS, it is gone for us.
std::unexpected<Error> fail_tls(Error error) {
  error.code = Errc::unavailable;
  return std::unexpected(std::move(error));
}

short poll_events(TlsWait wait) {
  return wait == TlsWait::output ? POLLOUT : POLLIN;
}

SendStep::Wait wait_of(TlsWait wait) {
  switch (wait) {
    case TlsWait::nothing:
      return SendStep::Wait::nothing;
    case TlsWait::input:
      return SendStep::Wait::input;
    case TlsWait::output:
      return SendStep::Wait::output;
  }
  std::unreachable();
}

} // namespace

Socket::Socket(UniqueFd fd, const CutOff* cut_off) : fd_(std::move(fd)), cut_off_(cut_off) {}
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

void Socket::begin_tls(std::unique_ptr<TlsSession> session) {
  tls_ = std::move(session);
}

Result<std::optional<std::byte>> Socket::peek() const {
  std::byte first{};
  ssize_t count = 0;
  int error_number = 0;
  do {
    count = ::recv(fd_.get(), &first, 1, MSG_PEEK);
    error_number = errno;
  } while (count < 0 && error_number == EINTR);
  if (count > 0) {
    return first;
  }
  if (count < 0 && error_number == EAGAIN) {
    return std::nullopt;
  }
  return count == 0 ? fail(Errc::unavailable, "the client is gone")
                    : fail_transfer(error_number, "receive");
}

Result<void> Socket::check_cut_off() const {
  return cut_off_ != nullptr && cut_off_->is_set() ? fail(Errc::unavailable, "the server stops")
                                                   : Result<void>{};
}

/// Waits for `events`, at most `timeout`. With events or without, the end in both directions ends
/// the wait, as does a cut-off.
Result<void> Socket::poll(short events, std::chrono::milliseconds timeout) const {
  const int cut_off = cut_off_ == nullptr ? -1 : cut_off_->descriptor(); // poll() skips a -1
  std::array<pollfd, 2> entries{pollfd{fd_.get(), events, 0}, pollfd{cut_off, POLLIN, 0}};
  const auto limit =
      std::min<std::chrono::milliseconds::rep>(timeout.count(), std::numeric_limits<int>::max());
  for (;;) {
    const int ready = ::poll(entries.data(), entries.size(), static_cast<int>(limit));
    const int error_number = errno;
    if (ready > 0) {
      return check_cut_off();
    }
    if (ready == 0) {
      return fail(Errc::timeout, "the client stalled");
    }
    if (error_number != EINTR) {
      return fail_transfer(error_number, "poll");
    }
  }
}

Result<void> Socket::pause_until(SteadyTime time, const Pace& pace) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - pace.now());
    if (left <= std::chrono::milliseconds::zero()) {
      return {};
    }
    const auto ended = poll(0, left);
    if (ended) {
      return fail(Errc::unavailable, "the client is gone");
    }
    if (ended.error().code != Errc::timeout) {
      return ended;
    }
  }
}

Result<void> Socket::wait(short events, Pace& pace) {
  const SteadyTime started = pace.now();
  auto ready = poll(events, pace.timeout());
  pace.waited(pace.now() - started);
  return ready;
}

Result<void> Socket::wait_to_send(Pace& pace) {
  // The kernel wakes a writer only when a third of its buffer of some megabytes is free. A client
  // that takes less than that in `timeout` is slow but has not stalled.
  for (int before = untaken();;) {
    if (pace.too_slow(before)) {
      return fail_slow();
    }
    auto ready = wait(POLLOUT, pace);
    if (ready || ready.error().code != Errc::timeout) {
      return ready;
    }
    const int now = untaken();
    if (now >= before) {
      return ready;
    }
    before = now;
  }
}

Result<std::optional<std::size_t>> Socket::try_receive(MutableByteSpan buffer) {
  if (tls_ != nullptr) {
    return try_receive_tls(buffer);
  }
  for (;;) {
    const ssize_t count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    const int error_number = errno;
    if (count >= 0) {
      return static_cast<std::size_t>(count);
    }
    if (error_number == EAGAIN) {
      return std::nullopt;
    }
    if (error_number != EINTR) {
      return fail_transfer(error_number, "receive");
    }
  }
}

Result<std::size_t> Socket::receive(MutableByteSpan buffer, Pace& pace) {
  if (tls_ != nullptr) {
    return receive_tls(buffer, pace);
  }
  for (;;) {
    TRY(check_cut_off()); // who never lets us wait would else never be
    TRY_ASSIGN(const std::optional<std::size_t> count, try_receive(buffer));
    if (count) {
      pace.moved(*count);
      return *count;
    }
    if (pace.too_slow()) {
      return fail_slow();
    }
    TRY(wait(POLLIN, pace));
  }
}

Result<SendStep> Socket::try_send(ByteSpan bytes, More more, Pace& pace) {
  TRY(check_cut_off());
  if (tls_ != nullptr) {
    auto progress = tls_->send(bytes);
    if (!progress) {
      return fail_tls(std::move(progress).error());
    }
    pace.moved(tls_->take_sent());
    return SendStep{progress->count, wait_of(progress->wait)};
  }
  const int flags = MSG_NOSIGNAL | (more == More::yes ? MSG_MORE : 0);
  for (;;) {
    const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), flags);
    const int error_number = errno;
    if (count >= 0) {
      pace.moved(static_cast<std::size_t>(count));
      return SendStep{.count = static_cast<std::size_t>(count)};
    }
    TRY_ASSIGN(const std::optional<SendStep> step, judge_send(error_number, "send"));
    if (step) {
      return *step;
    }
  }
}

Result<std::size_t> Socket::send(ByteSpan bytes, More more, Pace& pace) {
  for (;;) {
    TRY_ASSIGN(const SendStep step, try_send(bytes, more, pace));
    if (step.wait == SendStep::Wait::nothing) {
      return step.count;
    }
    TRY(step.wait == SendStep::Wait::output ? wait_to_send(pace) : wait(POLLIN, pace));
  }
}

Result<void> Socket::send_all(ByteSpan bytes, More more, Pace& pace) {
  while (!bytes.empty()) {
    TRY_ASSIGN(const std::size_t count, send(bytes, more, pace));
    bytes = bytes.subspan(count);
  }
  return {};
}

Result<SendStep> Socket::try_send_file(int file, ByteCount offset, ByteCount length, Pace& pace) {
  TRY(check_cut_off());
  const auto step_size = static_cast<std::size_t>(std::min(length, kSendFileStepMax));
  if (tls_ != nullptr) {
    auto progress = tls_->send_file(file, offset, step_size);
    if (!progress) {
      return fail_tls(std::move(progress).error());
    }
    pace.moved(tls_->take_sent());
    return SendStep{progress->count, wait_of(progress->wait)};
  }
  for (;;) {
    auto position = static_cast<off_t>(offset);
    const ssize_t count = ::sendfile(fd_.get(), file, &position, step_size);
    const int error_number = errno;
    if (count >= 0) {
      pace.moved(static_cast<std::size_t>(count));
      return SendStep{.count = static_cast<std::size_t>(count)};
    }
    TRY_ASSIGN(const std::optional<SendStep> step, judge_send(error_number, "sendfile"));
    if (step) {
      return *step;
    }
  }
}

Result<SendStep> Socket::try_splice(SplicePipe& pipe, More more, Pace& pace) {
  TRY(check_cut_off());
  const unsigned flags = SPLICE_F_NONBLOCK | (more == More::yes ? SPLICE_F_MORE : 0U);
  for (;;) {
    const ssize_t count =
        ::splice(pipe.descriptor(), nullptr, fd_.get(), nullptr, pipe.size(), flags);
    const int error_number = errno;
    if (count >= 0) {
      pipe.took(static_cast<ByteCount>(count));
      pace.moved(static_cast<std::size_t>(count));
      return SendStep{.count = static_cast<std::size_t>(count),
                      .wait = pipe.size() > 0 ? SendStep::Wait::output : SendStep::Wait::nothing};
    }
    TRY_ASSIGN(const std::optional<SendStep> step, judge_send(error_number, "splice"));
    if (step) {
      return *step;
    }
  }
}

int Socket::untaken() const {
  int count = 0;
  return ::ioctl(fd_.get(), SIOCOUTQ, &count) == 0 ? count : 0;
}

Peer Socket::peer() const {
  pollfd entry{fd_.get(), POLLRDHUP, 0};
  if (::poll(&entry, 1, 0) <= 0) {
    return Peer::present; // interrupted, at worst: whoever asks does so at the next event again
  }
  return (static_cast<unsigned>(entry.revents) & static_cast<unsigned>(POLLERR | POLLHUP)) != 0
             ? Peer::gone
             : Peer::half_closed;
}

// ---- the same by TLS ----------------------------------------------------------------------------

bool Socket::may_hold_input() const {
  return tls_ != nullptr && tls_->may_hold_input();
}

bool Socket::awaits_output() const {
  return tls_ != nullptr && tls_->awaits_output();
}

bool Socket::can_send_files() const {
  return tls_ == nullptr || tls_->can_send_files();
}

Result<std::optional<std::size_t>> Socket::try_receive_tls(MutableByteSpan buffer) {
  std::size_t total = 0;
  do {
    auto progress = tls_->receive(buffer.subspan(total));
    if (!progress) {
      return total > 0 ? Result<std::optional<std::size_t>>(total) // the next call fails again
                       : fail_tls(std::move(progress).error());
    }
    if (progress->ended) {
      return total;
    }
    if (progress->count == 0) {
      return total > 0 ? std::optional(total) : std::nullopt;
    }
    total += progress->count;
  } while (total < buffer.size() && tls_->may_hold_input());
  return total;
}

Result<std::size_t> Socket::receive_tls(MutableByteSpan buffer, Pace& pace) {
  for (;;) {
    TRY(check_cut_off());
    auto progress = tls_->receive(buffer);
    if (!progress) {
      return fail_tls(std::move(progress).error());
    }
    pace.moved(tls_->take_received());
    if (progress->count > 0 || progress->ended) {
      return progress->count;
    }
    if (pace.too_slow()) {
      return fail_slow();
    }
    TRY(wait(poll_events(progress->wait), pace));
  }
}

void Socket::acknowledge_now() {
  const int on = 1;
  // Best effort: without it the request is only slower.
  static_cast<void>(::setsockopt(fd_.get(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on)));
}

void Socket::end_tls() {
  if (tls_ != nullptr) {
    tls_->close_notify();
    tls_.reset();
  }
}

void Socket::shutdown_write() {
  end_tls();
  static_cast<void>(::shutdown(fd_.get(), SHUT_WR)); // fails only when the peer is gone already
}

void Socket::shutdown_read() const {
  static_cast<void>(::shutdown(fd_.get(), SHUT_RD));
}

void Socket::shutdown() const {
  static_cast<void>(::shutdown(fd_.get(), SHUT_RDWR));
}

void Socket::reset_on_close() {
  const linger abort{.l_onoff = 1, .l_linger = 0};
  static_cast<void>(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)));
}

void Socket::deliver_on_close() {
  const linger none{};
  static_cast<void>(::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof(none)));
}

} // namespace pkc::http
