// What is sent to a server. Pure.
#pragma once

#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/url.hpp"
#include "pkc/net/http_client.hpp"
#include "pkc/net/proxy.hpp"

#include <string>
#include <string_view>

namespace pkc::net {

/// The caller's headers as lines, without those that are the client's own and without credentials.
/// Errors: invalid_argument for what is no header.
Result<std::string> format_fields(const HttpHeaders& headers);

/// A GET or HEAD request with its empty line; `fields` are of format_fields(). A proxy is asked in
/// absolute-form (RFC 9112 section 3.2.2); null for a server, and for a server behind a tunnel.
std::string format_request(FetchMethod method,
                           const Url& url,
                           std::string_view user_agent,
                           std::string_view fields,
                           const Proxy* proxy);

/// Asks a proxy for a tunnel to the server of `url`.
std::string format_connect(const Url& url, std::string_view user_agent, const Proxy& proxy);

} // namespace pkc::net
