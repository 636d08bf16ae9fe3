// Certificates for tests, made when they are needed: no key is ever stored in the repository.
#pragma once

#include <chrono>
#include <memory>
#include <string>

struct evp_pkey_st;
struct x509_st;

namespace pkc::test {

/// A certificate with its private key, both PEM.
struct Identity {
  std::string certificate;
  std::string key;
};

/// What a certificate says.
struct CertificateFacts {
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::string name{};                  ///< the CN of the subject
  std::chrono::hours begins_in{-1};    ///< from now
  std::chrono::hours expires_in{1000}; ///< from now
  bool is_authority = false;
  std::string hosts = "DNS:localhost,IP:127.0.0.1"; ///< what it is good for, as OpenSSL writes it
};

/// Signs certificates with a P-256 key. A certificate is good for server and client. Throws when
/// OpenSSL fails. One thread at a time.
class Authority {
 public:
  /// Its own certificate is signed by itself.
  explicit Authority(const std::string& name);
  /// Its certificate is signed by `issuer`.
  Authority(const std::string& name, const Authority& issuer);

  [[nodiscard]] const std::string& certificate() const { return identity_.certificate; }
  [[nodiscard]] Identity issue(const CertificateFacts& facts) const;
  [[nodiscard]] Identity issue(const std::string& name) const {
    return issue(CertificateFacts{.name = name});
  }

 private:
  std::shared_ptr<evp_pkey_st> key_;
  std::shared_ptr<x509_st> own_;
  Identity identity_;
};

/// The same key, to be read with a passphrase only.
std::string encrypt_key(const std::string& key, const std::string& passphrase);

/// Replaces the file's content.
void write_text(const std::string& path, const std::string& text);

} // namespace pkc::test
