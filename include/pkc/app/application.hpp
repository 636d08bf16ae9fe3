// Application: the server, wired and run.
#pragma once

#include "pkc/config/settings.hpp"

namespace pkc::app {

/// Runs until SIGTERM or SIGINT; returns the exit status.
int run_server(const config::Settings& settings);

} // namespace pkc::app
