// Connection: a socket to one of several addresses, in clear or in TLS.
#pragma once

#include "patience.hpp"
#include "tls_client.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/net/address.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace pkc::net {

/// What to do when a read finds nothing for a while.
struct Lull {
  std::chrono::milliseconds after{};
  std::function<Result<void>()> call;
};

/// A connected socket. One thread at a time.
class Connection {
 public:
  /// Connects to the first of `addresses` that answers. They are tried in turn, and the next one is
  /// tried, too, when one lets us wait (RFC 8305). Errors: unavailable (all refuse, stopped),
  /// timeout, io.
  static Result<std::unique_ptr<Connection>> open(std::span<const Address> addresses,
                                                  std::uint16_t port,
                                                  const Patience& patience,
                                                  SteadyTime until);

  /// Agrees on TLS with `host`. Errors: unavailable (no TLS, or no valid certificate for the host),
  /// timeout, io.
  Result<void> start_tls(const TlsClient& tls,
                         const std::string& host,
                         const Patience& patience,
                         SteadyTime until);

  /// Up to `buffer.size()` bytes; 0 when the peer ended in order. Errors: unavailable (broken off,
  /// which includes TLS that ends without saying so), timeout (no byte in `idle`), io.
  /// `lull` may be null; its errors come out.
  Result<std::size_t> read(MutableByteSpan buffer,
                           const Patience& patience,
                           std::chrono::milliseconds idle,
                           const Lull* lull = nullptr);

  /// Writes all. Errors as read().
  Result<void> write(ByteSpan bytes, const Patience& patience, std::chrono::milliseconds idle);

  /// True while the peer has neither closed it nor sent anything: fit for one more request. Does
  /// not block.
  [[nodiscard]] bool is_quiet() const;

 private:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}

  /// What poll() has to wait for before the TLS call is tried again; 0 at the end. Errors:
  /// unavailable.
  Result<short> judge_tls(int result, int error_number);
  Result<short> try_read(MutableByteSpan buffer, std::size_t& done);
  Result<void> wait_to_read(short events,
                            const Patience& patience,
                            SteadyTime until,
                            const Lull* lull) const;
  Result<short> try_write(ByteSpan bytes, std::size_t& done);
  /// Writes what goes now and takes it off `bytes`, or waits until something goes.
  Result<void> write_some(ByteSpan& bytes, const Patience& patience, SteadyTime until);

  UniqueFd socket_;
  SslHandle tls_; ///< null: in clear. Behind the socket, because it goes first
};

} // namespace pkc::net
