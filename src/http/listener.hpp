// The listening socket.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <cstdint>
#include <string>

namespace pkc::http {

/// A non-blocking listening socket on `host` (an address, an IPv6 literal with or without brackets,
/// or a name) and `port`, 0 for any. Resolving a name may block. Errors: invalid_argument when
/// the host does not resolve, io when no address of it can be bound, with the address in the
/// message.
Result<UniqueFd> listen_on(const std::string& host, std::uint16_t port);

/// The port a bound socket has.
Result<std::uint16_t> local_port(int socket);

} // namespace pkc::http
