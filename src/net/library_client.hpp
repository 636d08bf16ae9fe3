// The HTTP library's client for a server of ours.
#pragma once

#include "pkc/net/client.hpp"

#include <httplib.h>

#include <memory>
#include <string>

namespace pkc::net {

/// Of https, with the checks of the certificate that the origin asks for. It knows no time limits
/// yet.
std::unique_ptr<httplib::SSLClient> make_tls_client(const Origin& origin);

/// Of any scheme. Follows no redirects and leaves targets as they are.
std::unique_ptr<httplib::ClientImpl> make_library_client(const Origin& origin);

/// The credentials; none for an empty token.
httplib::Headers headers_with(const std::string& token);

} // namespace pkc::net
