// Whether a request was made on this machine by somebody who sits in front of it.
#pragma once

#include "pkc/http/message.hpp"

namespace pkc::http {

/// True for a request that came from a loopback address or over a Unix socket, and straight:
/// without a header that proxies add, as a proxy on this machine passes on what anybody sends. A
/// web page that a browser on this machine shows does not count either: its requests have a foreign
/// Origin or Sec-Fetch-Site, or, when its name was made to point here, a foreign Host. Pure.
bool is_local_request(const Request& request);

} // namespace pkc::http
