// Server: listens, reads requests, calls the handler, writes answers.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/router.hpp"
#include "pkc/http/tls.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pkc::http {

/// Everything that bounds the server. Durations are wall-clock limits for one step.
struct ServerOptions {
  std::string bind = "127.0.0.1"; ///< address, host name, or "unix:/PATH" for a Unix socket
  std::uint16_t port = 8080;      ///< of TCP; 0: the kernel chooses
  unsigned socket_mode = 0660;    ///< permission bits of a Unix socket's file
  std::size_t workers_min = 4;
  std::size_t workers_max = 256;
  std::size_t connections_max = 10000;
  std::size_t connections_per_client_max =
      1000; ///< by peer address, not for trusted proxies; 0: any
  /// Requests with a body at once; one more gets 503 before its body is read. Never more than three
  /// quarters of workers_max, so that those who read always find a worker. GET and HEAD are free.
  std::size_t uploads_max = 192;
  ByteCount head_size_max =
      32 * kKiB; ///< request line and headers together: 431 (414 for the line)
  std::chrono::milliseconds head_timeout{10'000};  ///< from the first byte to the blank line
  std::chrono::milliseconds body_timeout{30'000};  ///< without one byte of body
  std::chrono::milliseconds write_timeout{30'000}; ///< without one byte taken by the client
  ByteCount transfer_rate_min =
      1 * kKiB; ///< bytes per second, on average over at least the timeout of
  ///< body or answer; only time waited for the client counts; 0: any
  std::chrono::milliseconds idle_timeout{75'000};        ///< between requests
  std::chrono::milliseconds handover_quiet{3'000};       ///< as idle_timeout, after hand_over()
  std::chrono::milliseconds worker_idle_timeout{30'000}; ///< then a worker above workers_min ends
  std::vector<std::string>
      trusted_proxies; ///< numeric addresses, CIDR blocks or "unix", whose X-Forwarded-For counts
  bool accepts_at_start = true;  ///< else begin_accepting() does
  std::optional<TlsOptions> tls; ///< nothing: requests come in clear
};

/// One finished request, for the access log. Views live during the call. A refused head has a
/// record too, with what could be read of it. A record with neither method nor status is about the
/// server: `failure` says why connections cannot be accepted at the moment, or what escaped outside
/// a handler. One with `handshake` is about a client that could not agree with us on TLS, for the
/// reason in `failure`: everyday life on the open internet.
struct AccessRecord {
  std::string_view method;
  std::string_view protocol; ///< of the route; empty when there was none
  std::string_view target;   ///< path and query as sent; control bytes cannot occur in it
  int status = 0;            ///< what was sent; 0 when nothing could be sent
  Method method_kind = Method::other;
  Outcome outcome = Outcome::by_status;
  ByteCount bytes_sent = 0;     ///< of the body
  ByteCount bytes_received = 0; ///< of the body
  std::chrono::microseconds duration{};
  std::string_view client_address;
  bool aborted = false;     ///< the answer could not be completed; the connection was reset
  std::string_view failure; ///< for the operator only: an exception that escaped the handler (the
                            ///< answer was 500), or why the answer was aborted; mostly empty
  bool handshake = false;
};

/// Called once a request, by the worker that served it, after the answer. By many threads at once;
/// must not throw.
using AccessLog = std::function<void(const AccessRecord&)>;

/// What the server holds at the moment, for metrics.
struct ServerLoad {
  std::size_t connections = 0;             ///< all that are open
  std::size_t connections_active = 0;      ///< a request of theirs is being answered
  std::size_t connections_waiting = 0;     ///< of those: without a worker, see Deferred, PiecesBody
  std::size_t connections_handshaking = 0; ///< they wait for TLS to be agreed on
  std::size_t connections_closing = 0;     ///< answered, half closed; the others are idle
  std::size_t connections_max = 0;
  std::optional<std::size_t> connections_queued; ///< not accepted yet; TCP only
  std::size_t workers = 0;
  std::size_t workers_busy = 0;
  std::size_t workers_max = 0;
  std::size_t uploads = 0;
  std::size_t uploads_max = 0;

  // Ever:
  std::uint64_t accepted = 0;            ///< connections, those refused included
  std::uint64_t refused_connections = 0; ///< connections_max was reached
  std::uint64_t refused_per_client = 0;  ///< connections_per_client_max was
  std::uint64_t refused_uploads = 0;     ///< uploads_max was
  std::uint64_t refused_paced = 0;       ///< too many waited for the limits of tokens
};

/// Tells the file of a Unix socket from another of that name.
struct SocketFileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  friend bool operator==(const SocketFileId&, const SocketFileId&) = default;
};

/// To whom a listening socket belongs.
struct SocketOwnership {
  /// Somebody goes on with it when this server has stopped: clients that come then wait in its
  /// queue for the next server. Otherwise they are refused.
  bool shared = true;
  std::optional<SocketFileId> file; ///< of a Unix socket, if this server has to remove it
};

/// A listening socket that somebody else opened.
struct PassedSocket {
  UniqueFd socket; ///< may be none
  SocketOwnership ownership{};
};

/// The HTTP server. Thread-safe. Destruction stops it, without grace.
///
/// A connection that waits for a request costs no thread: only a complete head takes a worker,
/// which then may block in the handler, in reading the body and in writing an answer from memory or
/// from a StreamBody. Nor does one cost a thread whose answer is Deferred, whose PiecesBody has
/// nothing to send yet, or whose client is slow to take a FileBody or PiecesBody.
class Server {
 public:
  virtual ~Server() = default;

  /// Binds and begins to accept. Errors, with the address in the message: io when it cannot be
  /// bound; conflict when the path of a Unix socket belongs to a living server or is no socket;
  /// invalid_argument for an unusable address or trusted proxy, or for files of no use to TLS.
  ///
  /// An open `passed` socket is listened on instead: TCP or Unix, a listening stream socket, else
  /// invalid_argument.
  static Result<std::unique_ptr<Server>> start(ServerOptions options,
                                               Router router,
                                               AccessLog access_log,
                                               PassedSocket passed = {});

  /// Begins to accept, when options.accepts_at_start was false; to be called once. Errors: io.
  virtual Result<void> begin_accepting() = 0;

  /// The port that is listened on; 0 for a Unix socket.
  [[nodiscard]] virtual std::uint16_t port() const = 0;

  /// What is listened on, for people: "127.0.0.1:8080", "unix:/run/polykit-cache/http.sock".
  [[nodiscard]] virtual const std::string& address() const = 0;

  /// Looks at every connection: for metrics, not for each request.
  [[nodiscard]] virtual ServerLoad load() = 0;

  /// The certificate in force; nothing when requests come in clear.
  [[nodiscard]] virtual std::optional<TlsState> tls() const = 0;

  /// Reads the files of TlsOptions again, for handshakes from now on; connections go on with what
  /// they have, and clients may resume their sessions unless the trust in clients has changed. On
  /// an error everything stays as it is. Errors: invalid_argument for files of no use, or when
  /// requests come in clear; io. Blocks on the disk.
  virtual Result<TlsState> reload_tls() = 0;

  /// The listening socket, for another process to inherit. Stays owned by the server.
  [[nodiscard]] virtual int listening_descriptor() const = 0;
  /// What that process has to know of it.
  [[nodiscard]] virtual SocketOwnership ownership() const = 0;

  /// Stops accepting, removes a Unix socket's file, closes idle connections once they have been
  /// quiet for a moment (a request may be on its way), waits for requests in flight up to `grace`,
  /// then cuts them off: their socket is shut down, so that every wait for the client ends at once.
  /// Waits for handlers to return, as nothing can end those from outside. Returns true when no
  /// request had to be cut off. Blocks; not to be called by a handler. The first of all calls of
  /// stop() and hand_over() decides; the others wait for it and return the same.
  virtual bool stop(std::chrono::milliseconds grace) = 0;

  /// As stop(), when another process listens on the same socket by now: the socket goes on
  /// listening, its file stays, and no client is to notice. So a connection may bring its first
  /// request as late as ever (but within `grace`), and an idle one has handover_quiet to bring a
  /// next one, whose answer tells the client to close.
  virtual bool hand_over(std::chrono::milliseconds grace) = 0;
};

} // namespace pkc::http
