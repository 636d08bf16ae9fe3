#include "tls_context.hpp"

#include "tls_files.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>
#include <utility>

namespace pkc::http {

namespace {

/// TLS 1.3 has suites of its own, all of them good.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/// A list of one, in the form of RFC 7301 section 3.1.
constexpr std::array<unsigned char, 9> kProtocols{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

#ifdef OPENSSL_NO_KTLS
constexpr bool kLibraryHasKernelTls = false;
#else
constexpr bool kLibraryHasKernelTls = true;
#endif

/// The kernel knows the upper-layer protocol "tls", or loads it for whoever may. It wants a
/// connected socket for it and says so before it says no.
bool kernel_has_tls() {
  const UniqueFd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  constexpr std::string_view kName = "tls";
  const int status =
      ::setsockopt(probe.get(), IPPROTO_TCP, TCP_ULP, kName.data(), socklen_t{kName.size()});
  return status != 0 && errno == ENOTCONN;
}

/// RFC 7301 section 3.2: without a protocol in common the connection ends with an alert. A client
/// that offers h2 only would not understand us.
// NOLINTNEXTLINE(readability-function-size): the parameters are OpenSSL's choice
int select_protocol(SSL* /*session*/,
                    const unsigned char** chosen,
                    unsigned char* chosen_size,
                    const unsigned char* offered,
                    unsigned int offered_size,
                    void* /*unused*/) {
  unsigned char* selected = nullptr;
  const int status = SSL_select_next_proto(&selected,
                                           chosen_size,
                                           kProtocols.data(),
                                           static_cast<unsigned>(kProtocols.size()),
                                           offered,
                                           offered_size);
  *chosen = selected;
  return status == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int set_mac_key(EVP_MAC_CTX* mac, TicketKey& key) {
  std::array<char, 7> digest{"SHA256"};
  const std::array parameters{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters.data());
}

/// Prepares the two contexts to seal a ticket (`sealing` 1) or to open one. Results are those of
/// SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
// NOLINTNEXTLINE(readability-function-size): the parameters are OpenSSL's choice
int use_ticket_key(SSL* session,
                   unsigned char* name,
                   unsigned char* nonce,
                   EVP_CIPHER_CTX* cipher,
                   EVP_MAC_CTX* mac,
                   int sealing) {
  constexpr int kFailed = -1;
  constexpr int kUnknown = 0;
  constexpr int kGood = 1;
  constexpr int kGoodButOld = 2;
  auto& tickets = *static_cast<TlsTickets*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(session)));
  auto current = tickets.current();
  if (!current) {
    return kFailed;
  }
  if (sealing == 1) {
    const bool ready =
        RAND_bytes(nonce, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) == 1 &&
        EVP_EncryptInit_ex2(cipher, EVP_aes_256_cbc(), current->cipher.data(), nonce, nullptr) ==
            1 &&
        set_mac_key(mac, *current) == 1;
    std::ranges::copy(current->name, name);
    return ready ? kGood : kFailed;
  }
  auto key = tickets.find(std::span(name, TicketKey::kNameSize));
  if (!key) {
    return kUnknown;
  }
  const bool ready =
      set_mac_key(mac, *key) == 1 &&
      EVP_DecryptInit_ex2(cipher, EVP_aes_256_cbc(), key->cipher.data(), nonce, nullptr) == 1;
  if (!ready) {
    return kFailed;
  }
  return key->name == current->name ? kGood : kGoodButOld;
}

} // namespace

std::string tls_failure() {
  // The first entry is nearest to the cause.
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) {
    return "no reason given";
  }
  if (ERR_SYSTEM_ERROR(code)) {
    return fail_errno(ERR_GET_REASON(code), "system").error().message;
  }
  const char* const reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(code);
}

void TlsContext::ContextTraits::close(Type context) noexcept {
  SSL_CTX_free(context);
}

Result<void> TlsContext::set_policy() {
  SSL_CTX* const context = handle_.get();
  // Read-ahead takes header and record with one call. What it leaves in the session is told by
  // TlsSession::may_hold_input(). Without AUTO_RETRY a read returns between messages that are no
  // data, of which a client could send any number.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(
      context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  state_.kernel_tls = kLibraryHasKernelTls && kernel_has_tls();
  if (state_.kernel_tls) {
    SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
  }
  SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  // Sessions are kept by the clients, in tickets.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, std::chrono::seconds(TlsTickets::kSessionLife).count());
  SSL_CTX_set_app_data(context, tickets_.get());
  const bool done = SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
                    SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
                    SSL_CTX_set_cipher_list(context, kCiphers) == 1 &&
                    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, use_ticket_key) == 1;
  return done ? Result<void>{} : fail(Errc::io, "cannot set TLS up: " + tls_failure());
}

Result<void> TlsContext::set_identity(const TlsOptions& options, const Clock& clock) {
  TRY_ASSIGN(const auto chain, read_certificates(options.certificate_file));
  TRY_ASSIGN(const auto key, read_private_key(options.key_file));
  X509* const certificate = chain.front().get();
  if (X509_check_private_key(certificate, key.get()) != 1) {
    return fail(Errc::invalid_argument,
                "the key in " + options.key_file + " does not belong to the first certificate in " +
                    options.certificate_file);
  }
  bool done = SSL_CTX_use_certificate(handle_.get(), certificate) == 1 &&
              SSL_CTX_use_PrivateKey(handle_.get(), key.get()) == 1;
  for (const auto& issuer : std::span(chain).subspan(1)) {
    done = done && SSL_CTX_add1_chain_cert(handle_.get(), issuer.get()) == 1;
  }
  if (!done) {
    return fail(
        Errc::invalid_argument,
        "the certificate in " + options.certificate_file + " cannot be used: " + tls_failure());
  }
  describe_certificate(certificate, clock.wall_now(), state_);
  check_key_is_private(options.key_file, state_);
  return {};
}

Result<void> TlsContext::set_trust(const TlsOptions& options) {
  std::string trust = "nobody is asked";
  if (!options.client_ca_file.empty()) {
    const bool required = options.client_certificates == ClientCertificates::required;
    TRY_ASSIGN(const auto authorities, read_certificates(options.client_ca_file));
    X509_STORE* const store = SSL_CTX_get_cert_store(handle_.get());
    // The file is the whole truth: an authority in it counts although its own issuer is not.
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    trust = required ? "required" : "optional";
    for (const auto& authority : authorities) {
      if (X509_STORE_add_cert(store, authority.get()) != 1 ||
          SSL_CTX_add_client_CA(handle_.get(), authority.get()) != 1) {
        return fail(
            Errc::invalid_argument,
            "a certificate in " + options.client_ca_file + " cannot be used: " + tls_failure());
      }
      trust += fingerprint(authority.get());
    }
    SSL_CTX_set_verify(
        handle_.get(), SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  // A resumed session skips the check of the client's certificate, so a ticket counts only where
  // the check would be the same.
  const Sha256 digest = sha256(as_bytes(trust));
  static_assert(sizeof(digest.bytes) <= SSL_MAX_SID_CTX_LENGTH);
  PKC_ASSERT(
      SSL_CTX_set_session_id_context(handle_.get(),
                                     reinterpret_cast<const unsigned char*>(digest.bytes.data()),
                                     static_cast<unsigned>(digest.bytes.size())) == 1);
  return {};
}

Result<std::shared_ptr<const TlsContext>> TlsContext::load(const TlsOptions& options,
                                                           std::shared_ptr<TlsTickets> tickets,
                                                           const Clock& clock) {
  ERR_clear_error();
  const std::shared_ptr<TlsContext> context(new TlsContext()); // the constructor is private
  context->tickets_ = std::move(tickets);
  context->handle_.reset(SSL_CTX_new(TLS_server_method()));
  if (!context->handle_) {
    return fail(Errc::io, "cannot set TLS up: " + tls_failure());
  }
  TRY(context->set_policy());
  TRY(context->set_identity(options, clock));
  TRY(context->set_trust(options));
  return context;
}

} // namespace pkc::http
