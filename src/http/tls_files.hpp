// Reads certificates and keys, and says what is wrong with them.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/tls.hpp"

#include <openssl/types.h>

#include <string>
#include <vector>

namespace pkc::http {

struct CertificateTraits {
  using Type = X509*;
  static constexpr Type kInvalid = nullptr;
  static void close(Type certificate) noexcept;
};
using Certificate = UniqueHandle<CertificateTraits>;

struct PrivateKeyTraits {
  using Type = EVP_PKEY*;
  static constexpr Type kInvalid = nullptr;
  static void close(Type key) noexcept;
};
using PrivateKey = UniqueHandle<PrivateKeyTraits>;

/// Every certificate of a PEM file, at least one, in its order; what else is in there is skipped.
/// Errors: invalid_argument, io. Blocks on the disk.
Result<std::vector<Certificate>> read_certificates(const std::string& path);

/// The first private key of a PEM file. Errors: invalid_argument, also when it wants a passphrase
/// (nobody is there to type one), io. Blocks on the disk.
Result<PrivateKey> read_private_key(const std::string& path);

/// Fills subject and valid_until, and warns of a certificate that is not valid `now`.
void describe_certificate(const X509* certificate, WallTime now, TlsState& state);

/// Warns of a key file that everybody on the machine may read or write.
void check_key_is_private(const std::string& path, TlsState& state);

/// SHA-256 of the whole certificate.
std::string fingerprint(const X509* certificate);

} // namespace pkc::http
