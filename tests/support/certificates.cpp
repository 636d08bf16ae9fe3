#include "support/certificates.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace pkc::test {

namespace {

void require(bool condition, const char* what) {
  if (!condition) {
    throw std::runtime_error(std::string("OpenSSL: ") + what);
  }
}

using Key = std::shared_ptr<EVP_PKEY>;
using Certificate = std::shared_ptr<X509>;

Key make_key() {
  Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  require(key != nullptr, "EVP_EC_gen");
  return key;
}

template <typename Write>
std::string to_pem(Write write) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free);
  require(write(bio.get()) == 1, "PEM");
  char* memory = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &memory);
  return {memory, static_cast<std::size_t>(size)};
}

void add_extension(X509* certificate, X509* issuer, int kind, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value);
  require(extension != nullptr, value);
  require(X509_add_ext(certificate, extension, -1) == 1, value);
  X509_EXTENSION_free(extension);
}

/// `issuer` null: signed by itself.
Certificate make_certificate(const CertificateFacts& facts,
                             EVP_PKEY* key,
                             X509* issuer,
                             EVP_PKEY* issuer_key) {
  Certificate made(X509_new(), X509_free);
  X509* const certificate = made.get();
  X509_set_version(certificate, X509_VERSION_3);
  std::int64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate), serial & INT64_MAX);
  const auto seconds = [](std::chrono::hours hours) { return std::chrono::seconds(hours).count(); };
  X509_gmtime_adj(X509_getm_notBefore(certificate), seconds(facts.begins_in));
  X509_gmtime_adj(X509_getm_notAfter(certificate), seconds(facts.expires_in));
  X509_NAME* const subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject,
                             "CN",
                             MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(facts.name.data()),
                             static_cast<int>(facts.name.size()),
                             -1,
                             0);
  X509* const signer = issuer == nullptr ? certificate : issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  X509_set_pubkey(certificate, key);
  add_extension(certificate, signer, NID_subject_key_identifier, "hash");
  if (facts.is_authority) {
    add_extension(certificate, signer, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    add_extension(certificate, signer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate, signer, NID_ext_key_usage, "serverAuth,clientAuth");
    add_extension(certificate, signer, NID_subject_alt_name, facts.hosts.c_str());
  }
  require(X509_sign(certificate, issuer_key, EVP_sha256()) > 0, "X509_sign");
  return made;
}

Identity identity_of(X509* certificate, EVP_PKEY* key) {
  return {to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); }),
          to_pem([&](BIO* bio) {
            return PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

} // namespace

Authority::Authority(const std::string& name)
    : key_(make_key()),
      own_(make_certificate({.name = name, .is_authority = true}, key_.get(), nullptr, key_.get())),
      identity_(identity_of(own_.get(), key_.get())) {}

Authority::Authority(const std::string& name, const Authority& issuer)
    : key_(make_key()),
      own_(make_certificate(
          {.name = name, .is_authority = true}, key_.get(), issuer.own_.get(), issuer.key_.get())),
      identity_(identity_of(own_.get(), key_.get())) {}

Identity Authority::issue(const CertificateFacts& facts) const {
  const Key key = make_key();
  const Certificate made = make_certificate(facts, key.get(), own_.get(), key_.get());
  return identity_of(made.get(), key.get());
}

std::string encrypt_key(const std::string& key, const std::string& passphrase) {
  const std::unique_ptr<BIO, int (*)(BIO*)> bio(
      BIO_new_mem_buf(key.data(), static_cast<int>(key.size())), BIO_free);
  const Key read(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
  require(read != nullptr, "PEM_read_bio_PrivateKey");
  return to_pem([&](BIO* out) {
    return PEM_write_bio_PKCS8PrivateKey(out,
                                         read.get(),
                                         EVP_aes_256_cbc(),
                                         passphrase.data(),
                                         static_cast<int>(passphrase.size()),
                                         nullptr,
                                         nullptr);
  });
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    throw std::runtime_error("cannot write " + path);
  }
}

} // namespace pkc::test
