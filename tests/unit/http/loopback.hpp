// What the http tests share: a raw client, so that a test decides every byte, and a server on a
// port of the kernel's choice.
#pragma once

#include "conversation.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace pkc::http::test {

/// A blocking raw client on loopback.
class Client final : public Conversation {
 public:
  /// `from`: the loopback address to connect from, as 127.0.0.`from`; 0 is the kernel's choice.
  explicit Client(std::uint16_t port, std::size_t receive_buffer = 0, std::uint8_t from = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer > 0) {
      const int size = static_cast<int>(receive_buffer);
      ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    if (!fd_) {
      throw std::runtime_error("no socket");
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    if (from > 0) {
      address.sin_addr.s_addr = htonl((INADDR_LOOPBACK & ~0xFFU) | from);
      if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        throw std::runtime_error("cannot bind");
      }
    }
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("cannot connect");
    }
  }

  /// On a Unix socket.
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error("cannot connect");
    }
  }

  bool send(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0) {
        return false;
      }
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
  }

  /// Makes the destructor send RST.
  void reset_on_close() {
    const linger abort{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
  }
  void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

  /// Something (data, end or reset) is there within `timeout`.
  [[nodiscard]] bool readable(std::chrono::milliseconds timeout) const {
    if (!buffer_.empty()) {
      return true;
    }
    pollfd entry{fd_.get(), POLLIN, 0};
    return ::poll(&entry, 1, static_cast<int>(timeout.count())) > 0;
  }

  /// Takes up to `count` bytes off the connection; false at its end.
  bool take(std::size_t count) {
    std::string piece(count, '\0');
    return ::recv(fd_.get(), piece.data(), piece.size(), 0) > 0;
  }

 private:
  bool receive() override {
    pollfd entry{fd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(kPatience.count())) <= 0) {
      end_ = End::open;
      return false;
    }
    std::string piece(65536, '\0');
    const ssize_t count = ::recv(fd_.get(), piece.data(), piece.size(), 0);
    if (count <= 0) {
      end_ = count == 0 ? End::closed : End::reset;
      return false;
    }
    buffer_.append(piece, 0, static_cast<std::size_t>(count));
    return true;
  }

  UniqueFd fd_;
};

/// Sends `count` PUTs of /echo, which answers with the body, at once; whether the answers come in
/// order.
inline bool echoes_pipelined(Client& client, int count) {
  std::string requests;
  for (int i = 0; i < count; ++i) {
    const std::string body = std::to_string(i);
    requests += "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body;
  }
  bool good = client.send(requests);
  for (int i = 0; i < count && good; ++i) {
    good = client.read().body == std::to_string(i);
  }
  return good;
}

/// A server for one test; stops with it.
class Loopback {
 public:
  explicit Loopback(Router router, ServerOptions options = {}, AccessLog log = {}) {
    options.port = 0;
    auto server = Server::start(std::move(options), std::move(router), std::move(log));
    if (!server) {
      throw std::runtime_error(server.error().message);
    }
    server_ = std::move(*server);
  }

  [[nodiscard]] Client client() const { return Client(server_->port()); }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }
  Server& operator*() const { return *server_; }
  Server* operator->() const { return server_.get(); }

 private:
  std::unique_ptr<Server> server_;
};

inline Response text_response(std::string text, int status = 200) {
  Response response = make_response(status);
  response.body = std::move(text);
  return response;
}

/// Everything of a body, or the error.
inline Result<std::string> read_all(RequestBody& body) {
  std::string text;
  std::string piece(65536, '\0');
  for (;;) {
    TRY_ASSIGN(const std::size_t count, body.read(std::as_writable_bytes(std::span(piece))));
    if (count == 0) {
      return text;
    }
    text.append(piece, 0, count);
  }
}

/// A table of one row.
inline Router single(Method method, std::string_view pattern, Handler handler) {
  Router router;
  router.add({method, pattern, RouteAccess::open(), std::move(handler)});
  return router;
}

} // namespace pkc::http::test
