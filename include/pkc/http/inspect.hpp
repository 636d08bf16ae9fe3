// Looks at what a server would need, without being one.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/http/tls.hpp"

#include <cstdint>
#include <string>

namespace pkc::http {

/// Whether a server could listen on `host` and `port`, as in ServerOptions: 0, or errno of bind().
/// A server that starts at the same moment does not notice: two sockets with SO_REUSEADDR may be
/// bound to one address as long as neither listens, and this one never does. Resolving a name may
/// block. Errors: invalid_argument when the host does not resolve; io.
Result<int> try_address(const std::string& host, std::uint16_t port);

/// What listens on a path.
enum class SocketPath : std::uint8_t {
  free,    ///< nothing of that name
  stale,   ///< the socket of a server that has died, which the next one replaces
  alive,   ///< somebody listens there
  foreign, ///< something that is no socket
};

/// Looks at the path of a Unix socket; one that is alive sees a connection that ends at once.
/// Takes no lock. Errors: invalid_argument for a path that no socket can have, io.
Result<SocketPath> inspect_socket_path(const std::string& path);

/// What a server with these files would say about TLS. Blocks on the disk. Errors, with the file's
/// name: invalid_argument when a file is absent or of no use, io.
Result<TlsState> inspect_tls(const TlsOptions& options, const Clock& clock);

} // namespace pkc::http
