#include "pkc/http/inspect.hpp"

#include "tls_entrance.hpp"

namespace pkc::http {

Result<TlsState> inspect_tls(const TlsOptions& options, const Clock& clock) {
  TRY_ASSIGN(const auto entrance, TlsEntrance::open(options, clock));
  return entrance->state();
}

} // namespace pkc::http
