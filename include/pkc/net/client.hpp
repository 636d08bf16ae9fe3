// Small requests to servers of ours. What others name is fetched by http_client.hpp.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/url.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pkc::net {

using Scheme = UrlScheme;

/// What is asked of the certificate of an https server. `any` is for a server that is known by how
/// it is reached, such as one of our own on this machine.
enum class PeerCertificate : std::uint8_t {
  valid, ///< signed by an authority that the machine trusts, for the host
  any
};

/// A server.
struct Origin {
  Scheme scheme = Scheme::http;
  std::string host;       ///< name, numeric address (IPv6 without brackets), or "unix:/PATH"
  std::uint16_t port = 0; ///< of no use to a Unix socket
  PeerCertificate certificate = PeerCertificate::valid;

  /// "https://[::1]:8443", "unix:/run/polykit-cache/http.sock".
  [[nodiscard]] std::string text() const;
};

struct Limits {
  std::chrono::milliseconds timeout{5'000}; ///< of the whole exchange, but for the resolver's time
  ByteCount body_size_max = 64 * kKiB;
};

struct Request {
  std::string method = "GET";
  std::string target; ///< path and query, encoded
  std::string token;  ///< sent as Bearer; empty: no credentials
};

struct Answer {
  int status = 0;
  std::string body;
};

/// Sends a request without body on a connection of its own and returns whatever is answered;
/// redirects are not followed, and no proxy is used. Blocks. Thread-safe, in a process that ignores
/// SIGPIPE. Errors: unavailable when there was no whole answer within the limits.
Result<Answer> exchange(const Origin& origin, const Request& request, const Limits& limits);

/// GET of a body of any size, which goes to `sink` when the status is 200; otherwise it is in the
/// answer. `on_length` may be empty; it hears a Content-Length of 200 before the bytes. The timeout
/// is that of each wait. Errors also: what `sink` returns.
Result<Answer> download(const Origin& origin,
                        const Request& request,
                        ByteSink& sink,
                        const std::function<void(ByteCount)>& on_length,
                        const Limits& limits);

/// PUT of a file of `size` bytes. A server that does not want it says so before it is sent. The
/// timeout is that of each wait. Errors also: what `file` returns.
Result<Answer> upload(
    const Origin& origin, const Request& request, File& file, ByteCount size, const Limits& limits);

/// exchange() of GET `target`.
Result<Answer> get(const Origin& origin, const std::string& target, const Limits& limits);

/// Agrees with an https server on TLS and leaves. That succeeds also at a server that asks for a
/// certificate of the client, which it looks at afterwards. As get() otherwise.
Result<void> shake_hands(const Origin& origin, const Limits& limits);

/// Parses "http://host[:port]", "https://host[:port]" (an IPv6 address in brackets; a "/" at the
/// end does not matter) and "unix:/PATH". Pure. Errors: invalid_argument.
Result<Origin> parse_origin(std::string_view url);

/// The address by which this machine reaches what listens on `bind`: loopback for the addresses
/// that stand for all, and no brackets. Pure.
std::string address_of_listener(const std::string& bind);

} // namespace pkc::net
