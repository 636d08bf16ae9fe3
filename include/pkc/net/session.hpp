// Session: many requests to one server of ours, whose answers may take hours.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/net/client.hpp"

#include <chrono>
#include <memory>
#include <string>

namespace pkc::net {

struct SessionOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string token{}; ///< sent as Bearer; empty: no credentials
  // NOLINTEND(readability-redundant-member-init)
  std::chrono::milliseconds connect_timeout{10'000};
  /// Of one request, from its beginning to its end. Nothing need come for as long: a server that
  /// works is silent. One whose machine is gone is noticed by the kernel's probes.
  std::chrono::milliseconds timeout{3'600'000};
  ByteCount error_size_max = 64 * kKiB; ///< of a body that is no 200; more is left out
};

struct SessionAnswer {
  int status = 0;
  HttpHeaders headers;
  std::string body; ///< of any status but 200
};

/// Keeps one connection between requests. One thread at a time, but for interrupt(). The process
/// ignores SIGPIPE.
class Session {
 public:
  virtual ~Session() = default;

  /// GET or HEAD of `target` (path and query, encoded; the query may be sent with other characters
  /// encoded, and means the same); the body of a 200 goes to `sink`. Redirects are not followed,
  /// and no proxy is used. Blocks. Errors: unavailable when there was no answer, so that asking
  /// again does no harm; timeout; io when the answer broke off, or when nobody can tell whether it
  /// did; and what `sink` returns.
  virtual Result<SessionAnswer> ask(const std::string& method,
                                    const std::string& target,
                                    ByteSink& sink) = 0;

  /// Ends a request that is under way, which has an error then. A request that begins later is not
  /// ended, and one that begins at this moment may not be: to end them all, stop asking and call it
  /// again until the last has ended. Waits while a connection is made. Thread-safe.
  virtual void interrupt() = 0;
};

/// Does not connect yet.
std::unique_ptr<Session> make_session(const Origin& origin, SessionOptions options);

} // namespace pkc::net
