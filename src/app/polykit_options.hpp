// The settings, as the Polykit protocol takes them.
#pragma once

#include "pkc/config/settings.hpp"
#include "pkc/protocols/polykit.hpp"

namespace pkc::app {

/// The limits on uploads. Pure.
protocols::PolykitOptions polykit_options(const config::Settings& settings);

} // namespace pkc::app
