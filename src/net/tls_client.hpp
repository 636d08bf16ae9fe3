// TlsClient: whom we trust, and sessions with them.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <openssl/types.h>

#include <string>

namespace pkc::net {

struct SslTraits {
  using Type = SSL*;
  static constexpr SSL* kInvalid = nullptr;
  static void close(SSL* session) noexcept;
};
using SslHandle = UniqueHandle<SslTraits>;

struct SslContextTraits {
  using Type = SSL_CTX*;
  static constexpr SSL_CTX* kInvalid = nullptr;
  static void close(SSL_CTX* context) noexcept;
};

/// The certificates that a client trusts, read once. Immutable, thread-safe.
class TlsClient {
 public:
  /// The roots of the system, and those in `ca_file` (PEM) unless that is empty. Errors:
  /// invalid_argument when the file has no certificate; io.
  static Result<TlsClient> make(const std::string& ca_file);

  /// A session over a connected socket that it does not own, not begun yet: TLS 1.2 or newer, and a
  /// certificate for `host` (a name, or an address), which has to be valid. Errors: io.
  [[nodiscard]] Result<SslHandle> begin(int socket, const std::string& host) const;

 private:
  UniqueHandle<SslContextTraits> context_;
};

/// Why the TLS call before failed, from OpenSSL's queue, which is empty afterwards.
std::string tls_failure();

} // namespace pkc::net
