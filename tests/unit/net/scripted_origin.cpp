#include "scripted_origin.hpp"

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace pkc::test {

namespace {

void require(bool done, const char* what) {
  if (!done) {
    throw std::runtime_error(what);
  }
}

std::shared_ptr<SSL_CTX> make_context(const Identity& identity) {
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  const std::unique_ptr<BIO, int (*)(BIO*)> certificate_text(
      BIO_new_mem_buf(identity.certificate.data(), static_cast<int>(identity.certificate.size())),
      BIO_free);
  const std::unique_ptr<BIO, int (*)(BIO*)> key_text(
      BIO_new_mem_buf(identity.key.data(), static_cast<int>(identity.key.size())), BIO_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(
      PEM_read_bio_X509(certificate_text.get(), nullptr, nullptr, nullptr), X509_free);
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(
      PEM_read_bio_PrivateKey(key_text.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  require(SSL_CTX_use_certificate(context.get(), certificate.get()) == 1 &&
              SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1,
          "identity");
  return context;
}

} // namespace

Peer::~Peer() {
  SSL_free(tls_);
}

bool Peer::start_tls(SSL_CTX* context) {
  tls_ = SSL_new(context);
  SSL_set_fd(tls_, socket_.get());
  return SSL_accept(tls_) == 1;
}

std::size_t Peer::read_some(char* data, std::size_t size) {
  if (tls_ != nullptr) {
    std::size_t done = 0;
    return SSL_read_ex(tls_, data, size, &done) == 1 ? done : 0;
  }
  const ssize_t got = ::recv(socket_.get(), data, size, 0);
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

std::string Peer::read_head() {
  constexpr std::string_view kEnd = "\r\n\r\n";
  while (input_.find(kEnd) == std::string::npos) {
    std::array<char, 4096> buffer{};
    const std::size_t got = read_some(buffer.data(), buffer.size());
    if (got == 0) {
      return {};
    }
    input_.append(buffer.data(), got);
  }
  const std::size_t end = input_.find(kEnd) + kEnd.size();
  std::string head = input_.substr(0, end);
  input_.erase(0, end);
  return head;
}

bool Peer::send(std::string_view text) {
  while (!text.empty()) {
    std::size_t done = 0;
    if (tls_ != nullptr) {
      if (SSL_write_ex(tls_, text.data(), text.size(), &done) != 1) {
        return false;
      }
    } else {
      const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      done = static_cast<std::size_t>(sent);
    }
    text.remove_prefix(done);
  }
  return true;
}

void Peer::end() {
  if (tls_ != nullptr) {
    SSL_shutdown(tls_);
  }
  cut();
}

void Peer::cut() {
  ::shutdown(socket_.get(), SHUT_WR);
}

void Peer::reset() {
  // Leaves the descriptor alone, which shut_down() may be using.
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  ::connect(socket_.get(), &nobody, sizeof(nobody));
}

void Peer::wait_for_close() {
  std::array<char, 4096> buffer{};
  while (read_some(buffer.data(), buffer.size()) > 0) {
  }
}

void Peer::relay(int other) {
  std::array<pollfd, 2> sides{pollfd{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = other, .events = POLLIN, .revents = 0}};
  while (sides[0].fd >= 0 || sides[1].fd >= 0) {
    if (::poll(sides.data(), sides.size(), -1) < 0) {
      return;
    }
    for (std::size_t i = 0; i < sides.size(); ++i) {
      if (sides.at(i).fd < 0 || sides.at(i).revents == 0) {
        continue;
      }
      const int to = i == 0 ? other : socket_.get();
      std::array<char, 65536> buffer{};
      const ssize_t got = ::recv(sides.at(i).fd, buffer.data(), buffer.size(), 0);
      if (got <= 0) {
        ::shutdown(to, SHUT_WR);
        sides.at(i).fd = -1;
        continue;
      }
      if (::send(to, buffer.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) {
        return;
      }
    }
  }
}

void Peer::shut_down() const {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

ScriptedOrigin::ScriptedOrigin(Script script, const std::string& address, std::uint16_t port)
    : script_(std::move(script)) {
  listen(address, port);
}

ScriptedOrigin::ScriptedOrigin(Script script, const Identity& identity)
    : script_(std::move(script)), tls_(make_context(identity)) {
  listen("127.0.0.1", 0);
}

void ScriptedOrigin::listen(const std::string& address, std::uint16_t port) {
  std::signal(SIGPIPE, SIG_IGN); // as the program does
  sockaddr_storage name{};
  socklen_t size = 0;
  const bool is_v6 = address.find(':') != std::string::npos;
  if (is_v6) {
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&name);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    require(::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1, "address");
    size = sizeof(*v6);
  } else {
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&name);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    require(::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1, "address");
    size = sizeof(*v4);
  }
  listener_.reset(::socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto* const generic = reinterpret_cast<sockaddr*>(&name);
  require(::bind(listener_.get(), generic, size) == 0, "bind");
  require(::listen(listener_.get(), 64) == 0, "listen");
  require(::getsockname(listener_.get(), generic, &size) == 0, "getsockname");
  port_ = ntohs(is_v6 ? reinterpret_cast<sockaddr_in6*>(&name)->sin6_port
                      : reinterpret_cast<sockaddr_in*>(&name)->sin_port);
  acceptor_ = std::jthread([this] { accept_all(); });
}

void ScriptedOrigin::accept_all() {
  for (;;) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) {
      return;
    }
    const std::size_t number = connections_++;
    auto peer = std::make_shared<Peer>(std::move(socket));
    peers_.lock()->push_back(peer);
    threads_.lock()->emplace_back([this, peer, number] {
      if (!tls_ || peer->start_tls(tls_.get())) {
        script_(*peer, number);
      }
      peer->shut_down();
    });
  }
}

ScriptedOrigin::~ScriptedOrigin() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  for (const auto& peer : *peers_.lock()) {
    peer->shut_down();
  }
  threads_.lock()->clear();
}

ScriptedOrigin::Script ScriptedOrigin::site(
    std::function<std::string(const std::string& head)> answer) {
  return [answer = std::move(answer)](Peer& peer, std::size_t /*number*/) {
    for (std::string head = peer.read_head(); !head.empty(); head = peer.read_head()) {
      peer.send(answer(head));
    }
  };
}

std::string ok(std::string_view body, std::string_view more_headers) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(more_headers) + "\r\n" + std::string(body);
}

std::string redirect(std::string_view location, int status) {
  return "HTTP/1.1 " + std::to_string(status) + " Elsewhere\r\nLocation: " + std::string(location) +
         "\r\nContent-Length: 0\r\n\r\n";
}

std::string target_of(const std::string& head) {
  const std::size_t begin = head.find(' ') + 1;
  return head.substr(begin, head.find(' ', begin) - begin);
}

std::string header_of(const std::string& head, std::string_view name) {
  const std::string start = "\r\n" + std::string(name) + ": ";
  const std::size_t at = head.find(start);
  return at == std::string::npos
             ? ""
             : head.substr(at + start.size(), head.find("\r\n", at + 2) - at - start.size());
}

} // namespace pkc::test
