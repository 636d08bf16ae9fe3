// Socket: one accepted connection's bytes, in clear or by TLS.
#pragma once

#include "pace.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace pkc::http {

class CutOff;
class SplicePipe;
class TlsSession;

/// Whether more follows at once, so that the kernel may wait for it before it sends a segment.
enum class More : std::uint8_t {
  no,
  yes,
};

/// What one step of sending came to: bytes, or what to wait for before the same can be tried again.
struct SendStep {
  enum class Wait : std::uint8_t {
    nothing,
    output,
    input, ///< only TLS may have to
  };
  std::size_t count = 0;
  Wait wait = Wait::nothing;
};

/// What is known of the other end without sending to it.
enum class Peer : std::uint8_t {
  present,
  half_closed, ///< it sends no more; whether it still listens shows when something is sent
  gone,        ///< reset, or shut down by us
};

/// A non-blocking stream socket, closed on destruction. One thread at a time, but shutdown() and
/// shutdown_read(), which another thread may call to wake the one that waits. Errors of every
/// transfer: unavailable when the peer is gone or breaks TLS, or all are cut off; timeout when it
/// is slower than the pace; after an error the connection is of no use.
class Socket {
 public:
  /// `cut_off` outlives this; null: there is none. From its moment on nothing is sent, and nothing
  /// is waited for.
  explicit Socket(UniqueFd fd, const CutOff* cut_off = nullptr);
  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();

  [[nodiscard]] int descriptor() const { return fd_.get(); }

  /// From now on everything goes through `session`, which is of this socket.
  void begin_tls(std::unique_ptr<TlsSession> session);
  /// Null while the bytes are in clear.
  [[nodiscard]] TlsSession* tls() const { return tls_.get(); }

  /// The first byte that waits in the kernel, and stays there; nothing when none is there now. Does
  /// not block. The end of the stream is an error, unavailable.
  [[nodiscard]] Result<std::optional<std::byte>> peek() const;

  /// Takes what has arrived, at most `buffer`. 0 is the end of the stream; nothing when no byte is
  /// there now. Does not block.
  Result<std::optional<std::size_t>> try_receive(MutableByteSpan buffer);
  /// Whether try_receive() may give more although the kernel has nothing.
  [[nodiscard]] bool may_hold_input() const;
  /// Whether it waits for room to send before it can receive, which only TLS may have to.
  [[nodiscard]] bool awaits_output() const;
  /// Waits for at least one byte; 0 is the end of the stream.
  Result<std::size_t> receive(MutableByteSpan buffer, Pace& pace);
  /// Sends at least one byte, or says what to wait for. Does not block.
  Result<SendStep> try_send(ByteSpan bytes, More more, Pace& pace);
  /// Sends at least one byte and returns how many; waits for room.
  Result<std::size_t> send(ByteSpan bytes, More more, Pace& pace);
  /// Sends all of `bytes`.
  Result<void> send_all(ByteSpan bytes, More more, Pace& pace);
  /// Whether try_send_file() can be used: in clear, and by TLS when the kernel encrypts.
  [[nodiscard]] bool can_send_files() const;
  /// As try_send(), of a piece of an open file; 0 bytes without a wait: the file ends at `offset`.
  Result<SendStep> try_send_file(int file, ByteCount offset, ByteCount length, Pace& pace);
  /// Whether try_splice() can be used: in clear.
  [[nodiscard]] bool can_splice() const { return tls_ == nullptr; }
  /// As try_send(), of what is in `pipe`, which is not empty; but it may send some and say to wait
  /// for room for the rest.
  Result<SendStep> try_splice(SplicePipe& pipe, More more, Pace& pace);
  /// Bytes that were handed to the kernel and not yet taken by the peer.
  [[nodiscard]] int untaken() const;
  [[nodiscard]] Peer peer() const;

  /// Waits until `time`, for a reason that is not the peer's, so its pace does not suffer. Returns
  /// before when the connection has ended in both directions: unavailable.
  Result<void> pause_until(SteadyTime time, const Pace& pace) const;

  /// Acknowledges what has come at once. A client that sends head and body in two segments waits
  /// for this with Nagle's algorithm on (ccache does): 40 ms a request without it.
  void acknowledge_now();
  /// Ends TLS, if there is any, with its own words. To be called before an orderly close.
  void end_tls();
  /// Tells the peer that nothing more comes; what was sent is still delivered. What is received
  /// from here on is not decrypted.
  void shutdown_write();
  /// Makes the socket readable with end of stream, for whoever waits on it. Thread-safe.
  void shutdown_read() const;
  /// Ends every wait on the socket in both directions. Thread-safe.
  void shutdown() const;
  /// Makes the destructor, and the end of the process too, send RST and drop what is unsent, so
  /// that the peer cannot take what it has got for a whole answer. A Unix socket knows no RST.
  void reset_on_close();
  /// Takes that back: what was sent is delivered, then FIN.
  void deliver_on_close();

 private:
  Result<void> poll(short events, std::chrono::milliseconds timeout) const;
  [[nodiscard]] Result<void> check_cut_off() const;
  Result<void> wait(short events, Pace& pace);
  Result<void> wait_to_send(Pace& pace);
  Result<std::optional<std::size_t>> try_receive_tls(MutableByteSpan buffer);
  Result<std::size_t> receive_tls(MutableByteSpan buffer, Pace& pace);

  UniqueFd fd_;
  const CutOff* cut_off_;
  std::unique_ptr<TlsSession> tls_; ///< after fd_, which it uses
};

} // namespace pkc::http
