// What a server needs to speak TLS, and what it says about it.
#pragma once

#include "pkc/base/clock.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pkc::http {

/// Whether a client without a certificate is served. One with a wrong certificate never is.
enum class ClientCertificates : std::uint8_t {
  required,
  optional,
};

/// Files that turn TLS on, all PEM. They are read at the start and at each reload.
struct TlsOptions {
  std::string certificate_file; ///< the server's certificate, then those between it and its CA
  std::string key_file;         ///< the private key, without a passphrase
  std::string client_ca_file; ///< who may sign clients' certificates; empty: clients are not asked
  ClientCertificates client_certificates = ClientCertificates::required;
};

/// What is in force, for the log.
struct TlsState {
  std::string subject;             ///< of the server's certificate: "CN = cache.example"
  std::string valid_until;         ///< "2027-01-31T12:00:00Z"
  std::optional<WallTime> expires; ///< the same; nothing when it cannot be read
  bool kernel_tls = false; ///< kernel and OpenSSL can encrypt in the kernel, so sendfile() works
  std::vector<std::string> warnings; ///< sentences about what an operator should look at
};

} // namespace pkc::http
