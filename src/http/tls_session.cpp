#include "tls_session.hpp"

#include "pkc/base/assert.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>

namespace pkc::http {

namespace {

bool set_plain_fd(SSL* session, int socket) {
  BIO* const bio = BIO_new_socket(socket, BIO_NOCLOSE);
  if (bio != nullptr) {
    SSL_set_bio(session, bio, bio); // takes the one reference for both directions
  }
  return bio != nullptr;
}

} // namespace

void TlsSession::SessionTraits::close(Type session) noexcept {
  SSL_free(session);
}

Result<std::unique_ptr<TlsSession>> TlsSession::make(std::shared_ptr<const TlsContext> context,
                                                     int socket) {
  ERR_clear_error();
  SSL* const session = SSL_new(context->handle());
  if (session == nullptr) {
    return fail(Errc::io, "cannot make a TLS session: " + tls_failure());
  }
  const bool kernel_tls = context->state().kernel_tls;
  std::unique_ptr<TlsSession> made(new TlsSession(std::move(context), session));
  // SSL_set_fd() asks the kernel for TLS in any case, and a kernel without it looks for a module
  // each time.
  if (!(kernel_tls ? SSL_set_fd(session, socket) == 1 : set_plain_fd(session, socket))) {
    return fail(Errc::io, "cannot make a TLS session: " + tls_failure());
  }
  SSL_set_accept_state(session);
  return made;
}

/// Of a call that did not do what it was made for.
Result<TlsProgress> TlsSession::judge(int result, int error_number) {
  const int error = SSL_get_error(handle_.get(), result);
  awaits_output_ = error == SSL_ERROR_WANT_WRITE;
  switch (error) {
    case SSL_ERROR_WANT_READ:
      return TlsProgress{.wait = TlsWait::input};
    case SSL_ERROR_WANT_WRITE:
      return TlsProgress{.wait = TlsWait::output};
    case SSL_ERROR_ZERO_RETURN:
      return TlsProgress{.ended = true};
    case SSL_ERROR_SYSCALL:
      usable_ = false;
      if (error_number != 0) {
        Error gone = fail_errno(error_number, "TLS").error();
        gone.code = Errc::unavailable;
        return std::unexpected(std::move(gone));
      }
      return fail(Errc::unavailable, "TLS: the peer is gone");
    default:
      usable_ = false;
      return fail(Errc::invalid_argument, "TLS: " + tls_failure());
  }
}

Result<TlsProgress> TlsSession::handshake() {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(handle_.get());
  const int error_number = errno;
  may_hold_input_ = SSL_has_pending(handle_.get()) == 1;
  if (result == 1) {
    return TlsProgress{};
  }
  auto progress = judge(result, error_number);
  if (progress && progress->ended) {
    usable_ = false;
    return fail(Errc::unavailable, "TLS: the peer ended the handshake");
  }
  return progress;
}

Result<TlsProgress> TlsSession::receive(MutableByteSpan buffer) {
  PKC_ASSERT(!buffer.empty());
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_read_ex(handle_.get(), buffer.data(), buffer.size(), &count);
  const int error_number = errno;
  if (result == 1) {
    may_hold_input_ = SSL_has_pending(handle_.get()) == 1;
    return TlsProgress{.count = count};
  }
  auto progress = judge(result, error_number);
  // A part of a record may be in there still, but nothing comes of it without more input. An end
  // or a failure is to be had again, and the kernel may never tell of it.
  may_hold_input_ = !progress || progress->ended;
  return progress;
}

Result<TlsProgress> TlsSession::send(ByteSpan bytes) {
  PKC_ASSERT(!bytes.empty());
  ERR_clear_error();
  errno = 0;
  std::size_t count = 0;
  const int result = SSL_write_ex(handle_.get(), bytes.data(), bytes.size(), &count);
  const int error_number = errno;
  if (result == 1) {
    return TlsProgress{.count = count};
  }
  auto progress = judge(result, error_number);
  if (progress && progress->ended) {
    usable_ = false;
    return fail(Errc::unavailable, "TLS: the peer is gone");
  }
  return progress;
}

Result<TlsProgress> TlsSession::send_file(int file, ByteCount offset, std::size_t length) {
  PKC_ASSERT(can_send_files());
  ERR_clear_error();
  errno = 0;
  const ossl_ssize_t count =
      SSL_sendfile(handle_.get(), file, static_cast<off_t>(offset), length, 0);
  const int error_number = errno;
  if (count >= 0) {
    file_bytes_ += static_cast<std::uint64_t>(count);
    return TlsProgress{.count = static_cast<std::size_t>(count)};
  }
  return judge(-1, error_number);
}

void TlsSession::close_notify() {
  if (usable_ && SSL_is_init_finished(handle_.get()) == 1) {
    ERR_clear_error();
    static_cast<void>(SSL_shutdown(handle_.get())); // best effort: the answers know their length
    usable_ = false;
  }
}

bool TlsSession::can_send_files() const {
  return BIO_get_ktls_send(SSL_get_wbio(handle_.get()));
}

std::size_t TlsSession::take_received() {
  const std::uint64_t received = BIO_number_read(SSL_get_rbio(handle_.get()));
  return received - std::exchange(received_seen_, received);
}

std::size_t TlsSession::take_sent() {
  const std::uint64_t sent = BIO_number_written(SSL_get_wbio(handle_.get())) + file_bytes_;
  return sent - std::exchange(sent_seen_, sent);
}

} // namespace pkc::http
