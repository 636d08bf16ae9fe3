// Activation: a listening socket that the service manager opened for us.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

namespace pkc::app {

/// The socket passed by the protocol of systemd (LISTEN_FDS, LISTEN_PID), now ours and close-on-
/// exec; an invalid handle when none was passed to this process. The variables are removed, so that
/// no child takes itself for the addressee. Errors: invalid_argument when more than one was passed
/// or LISTEN_FDS is no number, io when descriptor 3 is not open. Call it once, before any other
/// thread exists.
Result<UniqueFd> take_passed_socket();

} // namespace pkc::app
