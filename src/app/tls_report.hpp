// What the operator reads about TLS, at the start and after SIGHUP.
#pragma once

#include "pkc/http/server.hpp"
#include "pkc/ops/log.hpp"

#include <string>

namespace pkc::app {

/// One line about what is in force, if the server speaks TLS, and one for each warning.
void report_tls(const http::Server& server, ops::Log& log);

/// Reads the certificate again. One that cannot be used must not end a server that runs: the log
/// says why, and the old one stays. Blocks on the disk.
void reload_tls(http::Server& server, ops::Log& log);

/// The address to show: "https://127.0.0.1:8443", or what the server itself says without TLS.
std::string shown_address(const http::Server& server);

} // namespace pkc::app
