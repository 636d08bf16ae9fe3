// Health check: a server's health, asked from outside its process.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/config/settings.hpp"

#include <string>

namespace pkc::app {

/// Asks the server that runs with these settings on this machine for GET /health, and returns what
/// it is worth telling when the server is healthy. Its certificate is not looked at: we know it by
/// where it listens. One that demands a certificate of every client cannot be asked; it is healthy
/// when it agrees on TLS. Blocks for some seconds at most. The process ignores SIGPIPE. Errors, all
/// of them for people: invalid_argument when the settings do not tell where it listens;
/// unavailable when it is not healthy.
Result<std::string> check_health(const config::Settings& settings);

} // namespace pkc::app
