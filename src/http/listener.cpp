#include "listener.hpp"

#include "client_address.hpp"

#include "pkc/http/inspect.hpp"

#include <netdb.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace pkc::http {

namespace {

constexpr int kBacklog = 4096; ///< the kernel's net.core.somaxconn caps it

struct AddressListTraits {
  using Type = addrinfo*;
  static constexpr Type kInvalid = nullptr;
  static void close(Type list) noexcept { ::freeaddrinfo(list); }
};
using AddressList = UniqueHandle<AddressListTraits>;

Result<int> socket_option(int socket, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  if (::getsockopt(socket, SOL_SOCKET, option, &value, &size) != 0) {
    return fail_errno(errno, "getsockopt");
  }
  return value;
}

/// "unix:/run/cache.sock"; "unix:@cache" for a name without a file.
Result<std::string> unix_address(int socket) {
  sockaddr_un address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno(errno, "getsockname");
  }
  const std::size_t length = size - offsetof(sockaddr_un, sun_path);
  std::string path(static_cast<const char*>(address.sun_path),
                   std::min(length, sizeof(address.sun_path)));
  if (path.starts_with('\0')) {
    path.front() = '@';
  } else {
    path.resize(std::min(path.size(), path.find('\0')));
  }
  return std::string(kUnixPrefix) + path;
}

/// "127.0.0.1:8080", "[::1]:8080".
Result<std::string> tcp_address(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno(errno, "getsockname");
  }
  TRY_ASSIGN(const std::uint16_t port, local_port(socket));
  const std::string host = format_address(address);
  const bool is_v6 = host.find(':') != std::string::npos;
  return (is_v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

Result<Listener> describe_passed(PassedSocket passed) {
  UniqueFd& socket = passed.socket;
  TRY_ASSIGN(const int type, socket_option(socket.get(), SO_TYPE));
  TRY_ASSIGN(const int listens, socket_option(socket.get(), SO_ACCEPTCONN));
  TRY_ASSIGN(const int family, socket_option(socket.get(), SO_DOMAIN));
  if (type != SOCK_STREAM || listens == 0) {
    return fail(Errc::invalid_argument, "it is not a listening stream socket");
  }
  Listener listener;
  if (family == AF_UNIX) {
    TRY_ASSIGN(listener.address, unix_address(socket.get()));
    if (passed.ownership.file) {
      listener.file = std::make_unique<SocketFile>(listener.address.substr(kUnixPrefix.size()),
                                                   *passed.ownership.file);
    }
  } else if (family == AF_INET || family == AF_INET6) {
    TRY_ASSIGN(listener.address, tcp_address(socket.get()));
    TRY_ASSIGN(listener.port, local_port(socket.get()));
  } else {
    return fail(Errc::invalid_argument, "it is neither of TCP nor of Unix");
  }
  const int flags = ::fcntl(socket.get(), F_GETFL);
  if (flags < 0 || ::fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0 ||
      ::fcntl(socket.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(errno, "fcntl");
  }
  listener.socket = std::move(socket);
  listener.shared = passed.ownership.shared;
  return listener;
}

/// What an operator can do about an address that cannot be had.
std::string bind_failure(int error_number, std::uint16_t port) {
  switch (error_number) {
    case EADDRINUSE:
      return "the address is in use by another program; stop that, or choose another port";
    case EADDRNOTAVAIL:
      return "no network interface of this machine has that address";
    case EACCES:
      return port != 0 && port < 1024
                 ? "ports below 1024 are not for this user; choose one from 1024 on, let systemd "
                   "open it (polykit-cache.socket), or grant CAP_NET_BIND_SERVICE"
                 : "permission denied";
    default:
      return fail_errno(error_number, "bind").error().message;
  }
}

/// Bound, but not listening yet. Of an error the number is kept in `error_number`.
Result<UniqueFd> bind_at(const addrinfo& address, std::uint16_t port, int& error_number) {
  UniqueFd fd(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) {
    return fail_errno(errno, "socket");
  }
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0) {
    return fail_errno(errno, "setsockopt");
  }
  const int off = 0; // "::" serves IPv4 too, whatever the machine's default is
  if (address.ai_family == AF_INET6 &&
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) {
    return fail_errno(errno, "setsockopt");
  }
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    error_number = errno;
    return fail(Errc::io, bind_failure(error_number, port));
  }
  return fd;
}

/// The addresses of a host. Errors: invalid_argument.
Result<AddressList> resolve(const std::string& host, std::uint16_t port) {
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  const std::string name = bracketed ? host.substr(1, host.size() - 2) : host;
  const std::string service = std::to_string(port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int status =
      name.empty() ? EAI_NONAME : ::getaddrinfo(name.c_str(), service.c_str(), &hints, &list);
  if (status != 0) {
    return fail(Errc::invalid_argument,
                "cannot resolve the bind address \"" + host + "\": " + ::gai_strerror(status));
  }
  return AddressList(list);
}

/// The first address of the list that can be bound, or the error of the last.
Result<UniqueFd> bind_first(const AddressList& list, std::uint16_t port, int& error_number) {
  Result<UniqueFd> last = fail(Errc::io, "no address");
  for (const addrinfo* address = list.get(); address != nullptr; address = address->ai_next) {
    last = bind_at(*address, port, error_number);
    if (last) {
      return last;
    }
  }
  return last;
}

} // namespace

Result<UniqueFd> listen_on(const std::string& host, std::uint16_t port) {
  TRY_ASSIGN(const AddressList list, resolve(host, port));
  const std::string context = "cannot listen on " + host + ":" + std::to_string(port);
  int error_number = 0;
  auto bound = bind_first(list, port, error_number);
  if (!bound) {
    return std::unexpected(std::move(bound).error().prefixed(context));
  }
  if (::listen(bound->get(), kBacklog) != 0) {
    const int listen_error = errno; // somebody else has bound the address too, and listens by now
    return fail(Errc::io, context + ": " + bind_failure(listen_error, port));
  }
  return bound;
}

Result<int> try_address(const std::string& host, std::uint16_t port) {
  TRY_ASSIGN(const AddressList list, resolve(host, port));
  int error_number = 0;
  const auto bound = bind_first(list, port, error_number);
  if (!bound && error_number == 0) {
    return std::unexpected(bound.error());
  }
  return bound ? 0 : error_number;
}

Result<Listener> open_listener(const std::string& host, std::uint16_t port, mode_t socket_mode) {
  if (host.starts_with(kUnixPrefix)) {
    TRY_ASSIGN(FileListener made, listen_on_file(host.substr(kUnixPrefix.size()), socket_mode));
    return Listener{.socket = std::move(made.socket),
                    .address = host,
                    .port = 0,
                    .file = std::move(made.file),
                    .shared = false};
  }
  TRY_ASSIGN(UniqueFd socket, listen_on(host, port));
  TRY_ASSIGN(const std::uint16_t bound, local_port(socket.get()));
  return Listener{.socket = std::move(socket),
                  .address = host + ':' + std::to_string(bound),
                  .port = bound,
                  .file = nullptr,
                  .shared = false};
}

Result<Listener> adopt_listener(PassedSocket passed) {
  auto listener = describe_passed(std::move(passed));
  if (!listener) {
    Error error = std::move(listener).error().prefixed("cannot listen on the passed socket");
    error.code = Errc::invalid_argument;
    return std::unexpected(std::move(error));
  }
  return listener;
}

Result<std::uint16_t> local_port(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno(errno, "getsockname");
  }
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof(v6));
    return ntohs(v6.sin6_port);
  }
  sockaddr_in v4{};
  std::memcpy(&v4, &address, sizeof(v4));
  return ntohs(v4.sin_port);
}

} // namespace pkc::http
