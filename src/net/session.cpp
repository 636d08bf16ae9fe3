#include "pkc/net/session.hpp"

#include "library_client.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/http_text.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstddef>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

namespace pkc::net {

namespace {

constexpr int kOk = 200;

/// A peer that is gone without a word is noticed within two minutes. On a Unix socket none of this
/// means anything, and nothing is lost by it.
void send_probes(int socket) {
  constexpr int kOn = 1;
  constexpr int kQuietSeconds = 60;
  constexpr int kIntervalSeconds = 15;
  constexpr int kProbes = 4;
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &kQuietSeconds, sizeof kQuietSeconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &kIntervalSeconds, sizeof kIntervalSeconds);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
}

HttpHeaders headers_of(const httplib::Response& response) {
  HttpHeaders headers;
  for (const auto& [name, value] : response.headers) {
    headers.add(name, value);
  }
  return headers;
}

class LibrarySession final : public Session {
 public:
  LibrarySession(const Origin& origin, SessionOptions options)
      : origin_(origin.text()), options_(std::move(options)), client_(make_library_client(origin)) {
    client_->set_connection_timeout(options_.connect_timeout);
    client_->set_write_timeout(options_.connect_timeout);
    client_->set_read_timeout(options_.timeout);
    client_->set_max_timeout(options_.timeout);
    client_->set_keep_alive(true);
    client_->set_socket_options(send_probes);
    client_->set_decompress(false); // what is hashed is what was stored
  }

  Result<SessionAnswer> ask(const std::string& method,
                            const std::string& target,
                            ByteSink& sink) override try {
    Exchange exchange{.sink = sink};
    httplib::Request message;
    message.method = method;
    message.path = target;
    message.headers = headers_with(options_.token);
    message.response_handler = [&](const httplib::Response& response) {
      exchange.answer.status = response.status;
      return true;
    };
    message.content_receiver =
        [&](const char* data, std::size_t size, std::size_t /*offset*/, std::size_t /*total*/) {
          return take(exchange, {data, size});
        };
    const SteadyTime begun = system_clock().steady_now();
    message.start_time_ = begun; // as in client.cpp: without it there is no limit
    const httplib::Result result = client_->send(message);
    TRY(exchange.written);
    if (!result) {
      const bool late = system_clock().steady_now() - begun >= options_.timeout;
      return late ? timed_out() : failed(exchange, result.error());
    }
    exchange.answer.status = result->status;
    exchange.answer.headers = headers_of(*result);
    TRY(check_end(exchange, method));
    return std::move(exchange.answer);
  } catch (const std::exception& error) {
    return fail(Errc::unavailable, origin_ + ": " + error.what());
  }

  void interrupt() override { client_->stop(); }

 private:
  struct Exchange {
    ByteSink& sink;
    // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
    SessionAnswer answer{};
    Result<void> written{};
    // NOLINTEND(readability-redundant-member-init)
    ByteCount received = 0;
  };

  bool take(Exchange& exchange, std::string_view bytes) const {
    exchange.received += bytes.size();
    if (exchange.answer.status == kOk) {
      exchange.written = exchange.sink.write(as_bytes(bytes));
      return exchange.written.has_value();
    }
    std::string& body = exchange.answer.body;
    body.append(bytes.substr(0, options_.error_size_max - body.size()));
    return true;
  }

  std::unexpected<Error> timed_out() const {
    return fail(Errc::timeout, origin_ + ": no end within " + format_duration(options_.timeout));
  }

  std::unexpected<Error> failed(const Exchange& exchange, httplib::Error error) const {
    if (exchange.answer.status != 0) {
      return fail(Errc::io,
                  "the transfer broke off after " + std::to_string(exchange.received) + " bytes");
    }
    return fail(Errc::unavailable, origin_ + ": " + httplib::to_string(error));
  }

  /// A body that goes on until the connection closes cannot be told from a part of one. A server of
  /// ours never sends such, but something in between might.
  static Result<void> check_end(const Exchange& exchange, std::string_view method) {
    const HttpHeaders& headers = exchange.answer.headers;
    if (exchange.answer.status != kOk || method == "HEAD") {
      return {};
    }
    if (const auto length = headers.get("Content-Length")) {
      return *length == std::to_string(exchange.received)
                 ? Result<void>{}
                 : fail(Errc::io,
                        std::to_string(exchange.received) + " bytes came instead of " +
                            std::string(*length));
    }
    return equals_ignoring_case(headers.get("Transfer-Encoding").value_or(""), "chunked")
               ? Result<void>{}
               : fail(Errc::io, "the answer has neither a length nor an end");
  }

  const std::string origin_;
  const SessionOptions options_;
  const std::unique_ptr<httplib::ClientImpl> client_;
};

} // namespace

std::unique_ptr<Session> make_session(const Origin& origin, SessionOptions options) {
  return std::make_unique<LibrarySession>(origin, std::move(options));
}

} // namespace pkc::net
