// Application: the server, wired and run.
#pragma once

#include "pkc/config/settings.hpp"

namespace pkc::app {

/// Starts the server and runs it until SIGTERM or SIGINT, or until a successor that SIGUSR2 started
/// has taken over; then lets requests in flight finish within settings.shutdown_grace. A second
/// SIGTERM or SIGINT ends it at once. Returns the exit status: 0 after these signals, 1 when it
/// could not start (the reason is logged). Call it from the main thread, before any other thread
/// exists, and once.
int run_server(const config::Settings& settings);

} // namespace pkc::app
