#include "tls_tickets.hpp"

#include <openssl/rand.h>

#include <algorithm>

namespace pkc::http {

namespace {

Result<TicketKey> make_key() {
  TicketKey key;
  const bool made = RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) == 1 &&
                    RAND_priv_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) == 1 &&
                    RAND_priv_bytes(key.mac.data(), static_cast<int>(key.mac.size())) == 1;
  return made ? Result<TicketKey>(key) : fail(Errc::io, "no random bytes for a ticket key");
}

} // namespace

Result<TicketKey> TlsTickets::current() {
  const SteadyTime now = clock_.steady_now();
  const auto keys = keys_.lock();
  if (!keys->current || now - keys->made >= kKeyLife) {
    TRY_ASSIGN(const TicketKey fresh, make_key());
    keys->previous = keys->current;
    keys->current = fresh;
    keys->made = now;
  }
  return *keys->current;
}

std::optional<TicketKey> TlsTickets::find(std::span<const unsigned char> name) {
  const auto keys = keys_.lock();
  for (const auto& key : {keys->current, keys->previous}) {
    if (key && std::ranges::equal(key->name, name)) {
      return key;
    }
  }
  return std::nullopt;
}

} // namespace pkc::http
