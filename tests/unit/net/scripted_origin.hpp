// A server on loopback that does what a test says, byte by byte.
#pragma once

#include "support/certificates.hpp"

#include "pkc/base/guarded.hpp"
#include "pkc/base/unique_handle.hpp"

#include <openssl/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::test {

/// One connection of a client. One thread at a time, but for shut_down().
class Peer {
 public:
  explicit Peer(UniqueFd socket) : socket_(std::move(socket)) {}
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  /// Everything up to an empty line; "" when the client is gone.
  std::string read_head();
  /// Sends all. False: the client is gone.
  bool send(std::string_view text);
  /// Ends in order: close_notify in TLS, then FIN.
  void end();
  /// Ends without close_notify, with a FIN.
  void cut();
  /// Ends with a reset.
  void reset();
  /// Returns when the client has closed the connection.
  void wait_for_close();
  /// Gives everything that comes to `other` and the other way round, until both have ended.
  void relay(int other);

  /// False when there was no agreement.
  bool start_tls(SSL_CTX* context);
  /// Ends reads and writes, also those of another thread.
  void shut_down() const;

 private:
  std::size_t read_some(char* data, std::size_t size);

  UniqueFd socket_;
  SSL* tls_ = nullptr;
  std::string input_;
};

/// Thread-safe.
class ScriptedOrigin {
 public:
  /// What to do with a connection; `number` counts them from 0.
  using Script = std::function<void(Peer& peer, std::size_t number)>;

  explicit ScriptedOrigin(Script script,
                          const std::string& address = "127.0.0.1",
                          std::uint16_t port = 0);
  /// Speaks TLS.
  ScriptedOrigin(Script script, const Identity& identity);
  ~ScriptedOrigin();
  ScriptedOrigin(const ScriptedOrigin&) = delete;
  ScriptedOrigin& operator=(const ScriptedOrigin&) = delete;

  /// Answers requests on each connection as `answer` says for their heads, until the client leaves.
  static Script site(std::function<std::string(const std::string& head)> answer);

  [[nodiscard]] std::uint16_t port() const { return port_; }
  /// Connections so far.
  [[nodiscard]] std::size_t connections() const { return connections_.load(); }

 private:
  void listen(const std::string& address, std::uint16_t port);
  void accept_all();

  Script script_;
  std::shared_ptr<SSL_CTX> tls_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::atomic<std::size_t> connections_{0};
  Guarded<std::vector<std::shared_ptr<Peer>>> peers_;
  Guarded<std::vector<std::jthread>> threads_;
  std::jthread acceptor_;
};

/// "HTTP/1.1 200 OK" with a Content-Length.
std::string ok(std::string_view body, std::string_view more_headers = "");
/// A redirect without body.
std::string redirect(std::string_view location, int status = 302);
/// The target in a request line.
std::string target_of(const std::string& head);
/// The value of a header; "" when there is none.
std::string header_of(const std::string& head, std::string_view name);

} // namespace pkc::test
