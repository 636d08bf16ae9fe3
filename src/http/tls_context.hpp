// TlsContext: what all TLS connections of a server share until the next reload.
#pragma once

#include "tls_tickets.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/tls.hpp"

#include <openssl/types.h>

#include <memory>
#include <string>
#include <string_view>

namespace pkc::http {

/// Certificate, key, trust in clients and the policy: TLS 1.2 and 1.3, the cipher suites of
/// Mozilla's "intermediate" configuration (version 5.7, without finite-field Diffie-Hellman), the
/// client's preference among them, no compression, no renegotiation, no early data, ALPN
/// http/1.1. Immutable.
class TlsContext {
 public:
  /// Reads the files; `tickets` may be shared with other contexts. A ticket resumes a session only
  /// while trust in clients is the same as when it was made. Blocks on the disk. Errors, with the
  /// file's name: invalid_argument when a file is absent or of no use, io.
  static Result<std::shared_ptr<const TlsContext>> load(const TlsOptions& options,
                                                        std::shared_ptr<TlsTickets> tickets,
                                                        const Clock& clock);

  [[nodiscard]] const TlsState& state() const { return state_; }
  /// For SSL_new(), which counts a reference of its own but needs the tickets of this object too.
  [[nodiscard]] SSL_CTX* handle() const { return handle_.get(); }

 private:
  TlsContext() = default;

  Result<void> set_policy();
  Result<void> set_identity(const TlsOptions& options, const Clock& clock);
  Result<void> set_trust(const TlsOptions& options);

  struct ContextTraits {
    using Type = SSL_CTX*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };

  std::shared_ptr<TlsTickets> tickets_; ///< before handle_, which points to it
  UniqueHandle<ContextTraits> handle_;
  TlsState state_;
};

/// What OpenSSL has to say about the call that failed on this thread, in a few words.
std::string tls_failure();

} // namespace pkc::http
