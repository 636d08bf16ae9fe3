// Listener: the socket on which clients arrive.
#pragma once

#include "socket_file.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pkc::http {

/// What `bind` of ServerOptions begins with when it names a socket file.
constexpr std::string_view kUnixPrefix = "unix:";

/// A listening socket. Its file, if it has one, goes before the socket.
struct Listener {
  UniqueFd socket;
  std::string address;    ///< for people: "127.0.0.1:8080", "unix:/run/cache.sock"
  std::uint16_t port = 0; ///< of TCP; 0 for a Unix socket
  std::unique_ptr<SocketFile> file;
  /// Whether the socket belongs to somebody else too, who goes on with it after us.
  bool shared = false;
};

/// Listens on "unix:PATH", with the permission bits `socket_mode`, or on a TCP `host` (see
/// listen_on() and listen_on_file(), whose errors it has).
Result<Listener> open_listener(const std::string& host, std::uint16_t port, mode_t socket_mode);

/// Takes over a socket that listens already, from whoever started us. Errors: invalid_argument when
/// it is not a listening stream socket of TCP or Unix.
Result<Listener> adopt_listener(PassedSocket passed);

/// A non-blocking listening socket on `host` (an address, an IPv6 literal with or without brackets,
/// or a name) and `port`, 0 for any. Resolving a name may block. Errors: invalid_argument when
/// the host does not resolve, io when no address of it can be bound, with the address in the
/// message.
Result<UniqueFd> listen_on(const std::string& host, std::uint16_t port);

/// The port a bound socket has.
Result<std::uint16_t> local_port(int socket);

} // namespace pkc::http
