#include "tls_report.hpp"

#include <string_view>

namespace pkc::app {

namespace {

void report(std::string_view message, const http::TlsState& state, ops::Log& log) {
  log.info(message,
           {{"certificate", state.subject},
            {"valid_until", state.valid_until},
            {"versions", "1.2,1.3"},
            {"kernel_tls", state.kernel_tls ? "offered" : "not offered by this kernel"}});
  for (const std::string& warning : state.warnings) {
    log.warn(warning);
  }
}

} // namespace

void report_tls(const http::Server& server, ops::Log& log) {
  if (const auto state = server.tls()) {
    report("TLS is on", *state, log);
  }
}

void reload_tls(http::Server& server, ops::Log& log) {
  if (!server.tls()) {
    log.info("nothing to reload: TLS is off");
  } else if (const auto state = server.reload_tls()) {
    report("TLS reloaded", *state, log);
  } else {
    log.error("TLS not reloaded, the old certificate stays in use",
              {{"reason", state.error().message}});
  }
  log.flush();
}

std::string shown_address(const http::Server& server) {
  const bool is_url = server.tls().has_value() && server.port() != 0;
  return (is_url ? "https://" : "") + server.address();
}

} // namespace pkc::app
