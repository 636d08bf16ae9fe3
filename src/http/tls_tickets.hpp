// TlsTickets: the keys of session tickets.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

namespace pkc::http {

/// One generation of ticket keys: encrypt-then-MAC, as RFC 5077 section 4 proposes.
struct TicketKey {
  static constexpr std::size_t kNameSize = 16;

  std::array<unsigned char, kNameSize> name{}; ///< stands in the ticket, in clear
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
};

/// Makes and keeps ticket keys, in memory only: no ticket outlives the process. Who has a key can
/// read the TLS 1.2 sessions that were resumed with it, so no key is used for ever: a new one comes
/// with the first ticket after kKeyLife, and the one before it is good for reading until the next.
/// It is shared by the contexts of all reloads. Thread-safe.
class TlsTickets {
 public:
  static constexpr std::chrono::hours kKeyLife{12};
  /// How long a client may resume. Shorter than kKeyLife, or a change of keys would cut it short.
  static constexpr std::chrono::hours kSessionLife{2};

  /// The clock must outlive this.
  explicit TlsTickets(const Clock& clock) : clock_(clock) {}

  /// The key for new tickets. Errors: io when there is no randomness.
  [[nodiscard]] Result<TicketKey> current();
  /// The key of a ticket that a client shows; nothing for an unknown one.
  [[nodiscard]] std::optional<TicketKey> find(std::span<const unsigned char> name);

 private:
  struct Keys {
    std::optional<TicketKey> current;
    std::optional<TicketKey> previous;
    SteadyTime made;
  };

  const Clock& clock_;
  Guarded<Keys> keys_;
};

} // namespace pkc::http
