// Where the server of some settings is asked, on this machine.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/net/client.hpp"

namespace pkc::app {

/// Its certificate is not looked at: we know it by where it listens. Errors: invalid_argument when
/// the settings do not tell that. Pure.
Result<net::Origin> local_origin(const config::Settings& settings);

} // namespace pkc::app
