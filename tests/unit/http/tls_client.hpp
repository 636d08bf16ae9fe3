// A TLS client, so that a test decides versions, protocols, certificates and records.
#pragma once

#include "support/certificates.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/base/unique_handle.hpp"

#include <openssl/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_session_st;

namespace pkc::http::test {

/// A session that a client may resume. Null: none.
using SavedSession = std::shared_ptr<ssl_session_st>;

/// What a client offers and believes. The zeros are OpenSSL's own choice.
struct TlsClientOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string authority{};              ///< PEM; empty: any server is believed
  int version = 0;                      ///< TLS1_3_VERSION and the like: this one and no other
  std::vector<std::string> protocols{}; ///< for ALPN
  pkc::test::Identity identity{};       ///< empty: no client certificate
  SavedSession session{};
  // NOLINTEND(readability-redundant-member-init)
  std::size_t receive_buffer = 0; ///< of the socket
};

/// Connects and shakes hands. Every wait ends with the patience.
class TlsClient final : public Conversation {
 public:
  explicit TlsClient(std::uint16_t port, const TlsClientOptions& options = {});

  /// Empty after a handshake, else why there was none.
  [[nodiscard]] const std::string& failure() const { return failure_; }
  /// Why the connection ended, if by an alert.
  [[nodiscard]] const std::string& end_reason() const { return end_reason_; }

  /// Each call is at least one record.
  bool send(std::string_view bytes) override;
  /// Bytes that are no TLS, on the same socket.
  bool send_raw(std::string_view bytes);
  /// Tells the server that nothing more comes, in TLS.
  void finish_sending();
  /// The same by TCP only, as an attacker who cuts the connection would.
  void cut_sending();
  /// Makes the server send with new keys, and the client too, from the next byte on.
  void update_keys();

  [[nodiscard]] std::string version() const;
  [[nodiscard]] std::string protocol() const;     ///< by ALPN; empty: none
  [[nodiscard]] std::string server_name() const;  ///< the subject of its certificate
  [[nodiscard]] std::size_t chain_length() const; ///< certificates that it has sent
  [[nodiscard]] bool resumed() const;
  /// For the next connection. TLS 1.3 gives one with or after the first answer.
  [[nodiscard]] SavedSession session() const;

 private:
  bool receive() override;

  struct ContextTraits {
    using Type = SSL_CTX*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  struct SessionTraits {
    using Type = SSL*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type session) noexcept;
  };
  UniqueFd fd_;
  UniqueHandle<ContextTraits> context_;
  UniqueHandle<SessionTraits> session_;
  std::string failure_;
  std::string end_reason_;
};

/// The first flight of a client: what it sends before it hears from the server.
std::string client_hello();

} // namespace pkc::http::test
