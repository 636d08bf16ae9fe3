// TlsSession: TLS on one connected socket.
#pragma once

#include "tls_context.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace pkc::http {

/// What a step of TLS waits for before it can go on. Reading may wait for output and writing for
/// input.
enum class TlsWait : std::uint8_t {
  nothing,
  input,
  output,
};

/// What one step came to: bytes, or a wait, or the end of the stream.
struct TlsProgress {
  std::size_t count = 0;
  TlsWait wait = TlsWait::nothing;
  bool ended = false;
};

/// The server's side of one TLS connection. Never blocks, and does not own the socket. One thread
/// at a time. Errors of every step: unavailable when the peer is gone, invalid_argument when what
/// it sent breaks the protocol or our policy; after an error nothing more can be sent or received.
class TlsSession {
 public:
  /// `socket` is connected, non-blocking and outlives this. Errors: io when memory is short.
  static Result<std::unique_ptr<TlsSession>> make(std::shared_ptr<const TlsContext> context,
                                                  int socket);

  /// Goes on with the handshake; `wait` is nothing when it is done. An alert tells the peer of a
  /// failure.
  Result<TlsProgress> handshake();
  /// Takes up to `buffer` decrypted bytes. An end that the peer did not announce (close_notify) is
  /// an end too: requests know their length, so a truncated one is noticed above.
  Result<TlsProgress> receive(MutableByteSpan buffer);
  /// Sends one record of `bytes` or waits; then the same bytes must be sent again.
  Result<TlsProgress> send(ByteSpan bytes);
  /// Sends a piece of a file by sendfile(); count 0 is its end. REQUIRES: can_send_files().
  Result<TlsProgress> send_file(int file, ByteCount offset, std::size_t length);
  /// Tells the peer that nothing more comes, if that can be said now: after an orderly handshake,
  /// and with room in the socket.
  void close_notify();

  /// Whether the kernel encrypts what is sent.
  [[nodiscard]] bool can_send_files() const;
  /// Whether input may be buffered in here, of which the kernel knows nothing.
  [[nodiscard]] bool may_hold_input() const { return may_hold_input_; }

  /// Whether the step that waits does so for output.
  [[nodiscard]] bool awaits_output() const { return awaits_output_; }

  /// Bytes that came from or went to the socket, since the last call. They, and not those inside
  /// the records, tell how fast a peer is: a record of 16 KiB counts while it crawls in.
  [[nodiscard]] std::size_t take_received();
  [[nodiscard]] std::size_t take_sent();

 private:
  struct SessionTraits {
    using Type = SSL*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type session) noexcept;
  };
  TlsSession(std::shared_ptr<const TlsContext> context, SSL* session)
      : context_(std::move(context)), handle_(session) {}

  Result<TlsProgress> judge(int result, int error_number);

  std::shared_ptr<const TlsContext> context_; ///< before handle_, whose callbacks use it
  UniqueHandle<SessionTraits> handle_;
  bool usable_ = true;
  bool may_hold_input_ = false;
  bool awaits_output_ = false;
  std::uint64_t received_seen_ = 0;
  std::uint64_t sent_seen_ = 0;
  std::uint64_t file_bytes_ = 0; ///< sent by the kernel, which OpenSSL does not count
};

} // namespace pkc::http
