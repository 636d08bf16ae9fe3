#include "bench/client.hpp"

#include "bench/answer.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace pkc::bench {

namespace {

using std::chrono::nanoseconds;

constexpr std::size_t kHeadMax = 16 * kKiB;
constexpr std::size_t kDiscardMax = kMiB;
constexpr int kStallTimeoutMs = 30'000;

/// One connection and the exchange on it.
struct Connection {
  UniqueFd socket;
  bool busy = false;          ///< a request is under way
  bool waits_to_send = false; ///< registered for EPOLLOUT
  std::uint64_t answers = 0;  ///< since it was opened
  std::string head;           ///< of the request
  std::size_t sent = 0;       ///< of head and tail together
  std::string received;       ///< until the head of the answer is complete
  std::optional<AnswerHead> answer;
  ByteCount body_left = 0;
  SteadyTime started;
};

bool would_block(int error) {
  return error == EAGAIN;
}

Result<UniqueFd> open_connection(const LoadOptions& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(options.port);
  if (inet_pton(AF_INET, options.address.c_str(), &address.sin_addr) != 1) {
    return fail(Errc::invalid_argument, "not a numeric IPv4 address: " + options.address);
  }
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    const int error = errno;
    return fail_errno(error, "socket");
  }
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    return fail_errno(error, "connect");
  }
  const int one = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return socket;
}

/// The run: every connection, and what they did so far.
class Run {
 public:
  Run(Workload& workload, const LoadOptions& options) : workload_(workload), options_(options) {}

  Result<LoadReport> execute();

 private:
  Result<void> connect_all();
  Result<void> serve_events();
  Result<void> serve(const epoll_event& event);
  Result<void> reconnect(Connection& connection);
  [[nodiscard]] bool may_start(SteadyTime now) const {
    return started_ < options_.requests_max && now < deadline_;
  }
  Result<void> start_request(Connection& connection, SteadyTime now);
  Result<void> send_more(Connection& connection);
  Result<void> watch(Connection& connection, bool for_sending);
  Result<void> receive_more(Connection& connection);
  Result<bool> receive_head(Connection& connection);
  Result<bool> discard_body(Connection& connection);
  Result<void> check(const AnswerHead& answer) const;
  Result<void> finish_request(Connection& connection);
  [[nodiscard]] LoadReport report(SteadyTime begin);

  Workload& workload_;
  const LoadOptions& options_;
  const Clock& clock_ = system_clock();
  UniqueFd epoll_;
  std::vector<Connection> connections_;
  SteadyTime deadline_;
  SteadyTime last_answer_;
  std::uint64_t started_ = 0;
  std::size_t busy_ = 0;
  ByteCount body_bytes_ = 0;
  std::uint64_t reconnects_ = 0;
  std::vector<nanoseconds> latencies_;
};

Result<void> Run::connect_all() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) {
    const int error = errno;
    return fail_errno(error, "epoll_create1");
  }
  connections_.resize(options_.connections);
  for (Connection& connection : connections_) {
    TRY(reconnect(connection));
  }
  return {};
}

Result<void> Run::reconnect(Connection& connection) {
  TRY_ASSIGN(connection.socket, open_connection(options_));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &connection;
  connection.waits_to_send = false;
  connection.answers = 0;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.socket.get(), &event) != 0) {
    const int error = errno;
    return fail_errno(error, "epoll_ctl");
  }
  return {};
}

Result<void> Run::watch(Connection& connection, bool for_sending) {
  if (connection.waits_to_send == for_sending) {
    return {};
  }
  epoll_event event{};
  event.events = for_sending ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.socket.get(), &event) != 0) {
    const int error = errno;
    return fail_errno(error, "epoll_ctl");
  }
  connection.waits_to_send = for_sending;
  return {};
}

Result<void> Run::start_request(Connection& connection, SteadyTime now) {
  workload_.next(connection.head);
  connection.sent = 0;
  connection.received.clear();
  connection.answer.reset();
  connection.started = now;
  connection.busy = true;
  ++started_;
  ++busy_;
  return send_more(connection);
}

Result<void> Run::send_more(Connection& connection) {
  const std::string_view tail = workload_.tail();
  const std::size_t total = connection.head.size() + tail.size();
  while (connection.sent < total) {
    const std::size_t of_head = std::min(connection.sent, connection.head.size());
    const std::string_view rest = tail.substr(connection.sent - of_head);
    std::array<iovec, 2> pieces{{
        {.iov_base = connection.head.data() + of_head, .iov_len = connection.head.size() - of_head},
        {.iov_base = const_cast<char*>(rest.data()), .iov_len = rest.size()},
    }};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = pieces.size();
    const ssize_t count = sendmsg(connection.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      const int error = errno;
      if (would_block(error)) {
        return watch(connection, true);
      }
      return fail(Errc::unavailable, "the server closed a connection while it was sent to");
    }
    connection.sent += static_cast<std::size_t>(count);
  }
  return watch(connection, false);
}

Result<void> Run::check(const AnswerHead& answer) const {
  if (answer.status != workload_.expected_status()) {
    return fail(Errc::invalid_argument,
                "answered " + std::to_string(answer.status) + " where " +
                    std::to_string(workload_.expected_status()) + " is right");
  }
  const auto length = workload_.expected_length();
  if (length && *length != answer.content_length) {
    return fail(Errc::invalid_argument,
                "Content-Length " + std::to_string(answer.content_length) + " where " +
                    std::to_string(*length) + " is right");
  }
  return {};
}

/// True when the head is complete.
Result<bool> Run::receive_head(Connection& connection) {
  std::array<char, kHeadMax> buffer;
  const ssize_t count = recv(connection.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) {
    const int error = errno;
    if (would_block(error)) {
      return false;
    }
  }
  if (count <= 0) {
    return fail(Errc::unavailable, "a connection closed instead of answering");
  }
  connection.received.append(buffer.data(), static_cast<std::size_t>(count));
  TRY_ASSIGN(const auto head, parse_answer_head(connection.received));
  if (!head) {
    if (connection.received.size() >= kHeadMax) {
      return fail(Errc::invalid_argument, "an answer with a head of more than 16 KiB");
    }
    return false;
  }
  TRY(check(*head));
  const ByteCount body = workload_.answers_have_body() ? head->content_length : 0;
  const std::size_t body_here = connection.received.size() - head->head_size;
  if (body_here > body) {
    return fail(Errc::invalid_argument, "bytes after the end of the answer");
  }
  connection.answer = head;
  connection.body_left = body - body_here;
  return true;
}

/// True when the body is complete.
Result<bool> Run::discard_body(Connection& connection) {
  while (connection.body_left > 0) {
    const std::size_t wanted = std::min<std::size_t>(connection.body_left, kDiscardMax);
    const ssize_t count = recv(connection.socket.get(), nullptr, wanted, MSG_TRUNC | MSG_DONTWAIT);
    if (count < 0) {
      const int error = errno;
      if (would_block(error)) {
        return false;
      }
    }
    if (count <= 0) {
      return fail(Errc::unavailable, "a connection broke inside a body");
    }
    connection.body_left -= static_cast<ByteCount>(count);
  }
  return true;
}

Result<void> Run::receive_more(Connection& connection) {
  if (!connection.busy) {
    connection.socket.reset(); // its last request is done, and the server closed it
    return {};
  }
  if (!connection.answer) {
    TRY_ASSIGN(const bool complete, receive_head(connection));
    if (!complete) {
      return {};
    }
  }
  TRY_ASSIGN(const bool complete, discard_body(connection));
  return complete ? finish_request(connection) : Result<void>();
}

Result<void> Run::finish_request(Connection& connection) {
  const std::size_t total = connection.head.size() + workload_.tail().size();
  if (connection.sent != total) {
    return fail(Errc::invalid_argument, "answered before the request was sent");
  }
  const AnswerHead answer = connection.answer.value_or(AnswerHead{});
  last_answer_ = clock_.steady_now();
  latencies_.push_back(last_answer_ - connection.started);
  connection.busy = false;
  --busy_;
  body_bytes_ += workload_.upload_size();
  if (workload_.answers_have_body()) {
    body_bytes_ += answer.content_length;
  }
  if (!may_start(last_answer_)) {
    return {};
  }
  ++connection.answers;
  if (answer.close || connection.answers == options_.requests_per_connection) {
    ++reconnects_;
    TRY(reconnect(connection));
  }
  return start_request(connection, last_answer_);
}

LoadReport Run::report(SteadyTime begin) {
  LoadReport report;
  report.requests = latencies_.size();
  report.body_bytes = body_bytes_;
  report.reconnects = reconnects_;
  report.elapsed = last_answer_ - begin;
  if (!latencies_.empty()) {
    std::ranges::sort(latencies_);
    report.latency_median = latencies_[latencies_.size() / 2];
    report.latency_p99 = latencies_[latencies_.size() * 99 / 100];
  }
  return report;
}

Result<void> Run::serve(const epoll_event& event) {
  auto& connection = *static_cast<Connection*>(event.data.ptr);
  if ((event.events & EPOLLOUT) != 0U) {
    TRY(send_more(connection));
  }
  if ((event.events & ~std::uint32_t{EPOLLOUT}) != 0U) {
    TRY(receive_more(connection));
  }
  return {};
}

Result<void> Run::serve_events() {
  std::array<epoll_event, 64> events{};
  const int count =
      epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), kStallTimeoutMs);
  if (count <= 0) {
    return fail(Errc::timeout, "nothing moved for 30 s");
  }
  for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(count))) {
    TRY(serve(event));
  }
  return {};
}

Result<LoadReport> Run::execute() {
  TRY(connect_all());
  const SteadyTime begin = clock_.steady_now();
  deadline_ = begin + options_.duration;
  last_answer_ = begin;
  for (Connection& connection : connections_) {
    if (may_start(begin)) {
      TRY(start_request(connection, clock_.steady_now()));
    }
  }
  while (busy_ > 0) {
    TRY(serve_events());
  }
  return report(begin);
}

} // namespace

Result<LoadReport> run_load(Workload& workload, const LoadOptions& options) {
  return Run(workload, options).execute();
}

} // namespace pkc::bench
