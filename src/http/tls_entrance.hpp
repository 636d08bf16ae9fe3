// TlsEntrance: takes connections from their first byte to the end of the TLS handshake.
#pragma once

#include "connection.hpp"
#include "exchange.hpp"
#include "tls_context.hpp"
#include "tls_tickets.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/http/server.hpp"
#include "pkc/http/tls.hpp"

#include <memory>
#include <string_view>

namespace pkc::http {

/// Holds the context that new handshakes get, and drives handshakes, which never block: what a
/// client takes its time for costs no thread. Thread-safe, but a connection is advanced by its
/// owner only.
class TlsEntrance {
 public:
  /// Errors are those of TlsContext::load(). The clock must outlive this.
  static Result<std::unique_ptr<TlsEntrance>> open(TlsOptions options, const Clock& clock);

  /// Loads the files again; on an error the context in force stays.
  Result<TlsState> reload();
  [[nodiscard]] TlsState state() const { return context()->state(); }

  /// Takes the handshake as far as it goes without waiting. When it is done the phase is
  /// reading_head, and a request may have come already. `expired`: time is up. A client that speaks
  /// plain HTTP is told so. What fails is told to `log`, but not a client that leaves before it has
  /// sent a byte.
  [[nodiscard]] Next advance(Connection& connection, bool expired, const AccessLog& log) const;

 private:
  TlsEntrance(TlsOptions options, const Clock& clock)
      : options_(std::move(options)),
        clock_(clock),
        tickets_(std::make_shared<TlsTickets>(clock)) {}

  [[nodiscard]] std::shared_ptr<const TlsContext> context() const { return *context_.lock(); }
  [[nodiscard]] Result<bool> begin(Connection& connection) const;
  [[nodiscard]] Next answer_plain_http(Connection& connection, const AccessLog& log) const;

  const TlsOptions options_;
  const Clock& clock_;
  const std::shared_ptr<TlsTickets> tickets_;
  mutable Guarded<std::shared_ptr<const TlsContext>> context_;
};

} // namespace pkc::http
