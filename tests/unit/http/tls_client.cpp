#include "unit/http/tls_client.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace pkc::http::test {

namespace {

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;

Bio reader(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free};
}

std::string last_error() {
  const unsigned long code = ERR_peek_error();
  const char* const reason = ERR_reason_error_string(code);
  return reason == nullptr ? "error " + std::to_string(code) : reason;
}

/// OpenSSL writes without MSG_NOSIGNAL. Holds SIGPIPE back from this thread, and drops it.
class PipeGuard {
 public:
  PipeGuard() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  PipeGuard(const PipeGuard&) = delete;
  PipeGuard& operator=(const PipeGuard&) = delete;
  PipeGuard(PipeGuard&&) = delete;
  PipeGuard& operator=(PipeGuard&&) = delete;
  ~PipeGuard() {
    const timespec at_once{};
    ::sigtimedwait(&pipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t pipe_{};
  sigset_t before_{};
};

UniqueFd connect_to(std::uint16_t port, std::size_t receive_buffer) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer > 0) {
    const int size = static_cast<int>(receive_buffer);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
  }
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(kPatience).count();
  const timeval patience{.tv_sec = seconds, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("cannot connect");
  }
  return fd;
}

void set_identity(SSL_CTX* context, const pkc::test::Identity& identity) {
  X509* const certificate =
      PEM_read_bio_X509(reader(identity.certificate).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* const key =
      PEM_read_bio_PrivateKey(reader(identity.key).get(), nullptr, nullptr, nullptr);
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

void set_authority(SSL_CTX* context, const std::string& authority) {
  X509* const certificate = PEM_read_bio_X509(reader(authority).get(), nullptr, nullptr, nullptr);
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
  X509_free(certificate);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
}

void set_protocols(SSL_CTX* context, const std::vector<std::string>& protocols) {
  std::vector<unsigned char> list; // RFC 7301 section 3.1
  for (const std::string& protocol : protocols) {
    list.push_back(static_cast<unsigned char>(protocol.size()));
    list.insert(list.end(), protocol.begin(), protocol.end());
  }
  SSL_CTX_set_alpn_protos(context, list.data(), static_cast<unsigned>(list.size()));
}

} // namespace

void TlsClient::ContextTraits::close(Type context) noexcept {
  SSL_CTX_free(context);
}

void TlsClient::SessionTraits::close(Type session) noexcept {
  // Without an orderly end OpenSSL would not resume it.
  SSL_set_shutdown(session, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(session);
}

TlsClient::TlsClient(std::uint16_t port, const TlsClientOptions& options)
    : fd_(connect_to(port, options.receive_buffer)), context_(SSL_CTX_new(TLS_client_method())) {
  SSL_CTX* const context = context_.get();
  // Old versions want old signatures; what is refused shall be so by the server.
  SSL_CTX_set_security_level(context, 0);
  if (options.version != 0) {
    SSL_CTX_set_min_proto_version(context, options.version);
    SSL_CTX_set_max_proto_version(context, options.version);
  }
  if (!options.authority.empty()) {
    set_authority(context, options.authority);
  }
  if (!options.protocols.empty()) {
    set_protocols(context, options.protocols);
  }
  if (!options.identity.certificate.empty()) {
    set_identity(context, options.identity);
  }
  session_.reset(SSL_new(context));
  SSL_set_fd(session_.get(), fd_.get());
  if (options.session != nullptr) {
    SSL_set_session(session_.get(), options.session.get());
  }
  ERR_clear_error();
  if (SSL_connect(session_.get()) != 1) {
    failure_ = last_error();
  }
}

bool TlsClient::send(std::string_view bytes) {
  ERR_clear_error();
  const PipeGuard guard;
  return bytes.empty() ||
         SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
}

bool TlsClient::send_raw(std::string_view bytes) {
  return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(bytes.size());
}

void TlsClient::finish_sending() {
  const PipeGuard guard;
  SSL_shutdown(session_.get());
}

void TlsClient::cut_sending() {
  ::shutdown(fd_.get(), SHUT_WR);
}

void TlsClient::update_keys() {
  SSL_key_update(session_.get(), SSL_KEY_UPDATE_REQUESTED);
  SSL_do_handshake(session_.get());
}

std::string TlsClient::version() const {
  return SSL_get_version(session_.get());
}

std::string TlsClient::protocol() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(session_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

std::string TlsClient::server_name() const {
  const X509* const certificate = SSL_get0_peer_certificate(session_.get());
  const Bio text(BIO_new(BIO_s_mem()), BIO_free);
  X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE);
  char* memory = nullptr;
  const long size = BIO_get_mem_data(text.get(), &memory);
  return {memory, static_cast<std::size_t>(size)};
}

std::size_t TlsClient::chain_length() const {
  return static_cast<std::size_t>(sk_X509_num(SSL_get_peer_cert_chain(session_.get())));
}

bool TlsClient::resumed() const {
  return SSL_session_reused(session_.get()) == 1;
}

SavedSession TlsClient::session() const {
  return {SSL_get1_session(session_.get()), SSL_SESSION_free};
}

bool TlsClient::receive() {
  std::string piece(65536, '\0');
  ERR_clear_error();
  errno = 0;
  const int count = SSL_read(session_.get(), piece.data(), static_cast<int>(piece.size()));
  const int error_number = errno;
  if (count > 0) {
    buffer_.append(piece, 0, static_cast<std::size_t>(count));
    return true;
  }
  const int error = SSL_get_error(session_.get(), count);
  if (error == SSL_ERROR_ZERO_RETURN) {
    end_ = End::closed;
  } else if (error == SSL_ERROR_SSL) {
    end_reason_ = last_error();
    end_ = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? End::truncated
                                                                                  : End::reset;
  } else {
    end_ = error == SSL_ERROR_SYSCALL && error_number == ECONNRESET ? End::reset : End::open;
  }
  return false;
}

std::string client_hello() {
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  const std::unique_ptr<SSL, void (*)(SSL*)> session(SSL_new(context.get()), SSL_free);
  BIO* const out = BIO_new(BIO_s_mem());
  SSL_set_bio(session.get(), BIO_new(BIO_s_mem()), out);
  SSL_connect(session.get());
  char* memory = nullptr;
  const long size = BIO_get_mem_data(out, &memory);
  return {memory, static_cast<std::size_t>(size)};
}

} // namespace pkc::http::test
