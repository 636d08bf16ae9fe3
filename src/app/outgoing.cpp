#include "outgoing.hpp"

#include "pkc/net/address_rules.hpp"
#include "pkc/version.hpp"

#include <array>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::app {

namespace {

std::string first_of_environment(std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe)
    if (value != nullptr && *value != '\0') {
      return value;
    }
  }
  return {};
}

net::ProxyOptions proxies(const config::Settings& settings) {
  if (settings.upstream_proxy == config::kProxyFromEnvironment) {
    return proxies_of_environment();
  }
  if (settings.upstream_proxy == config::kNoProxy) {
    return {};
  }
  return {.http = settings.upstream_proxy, .https = settings.upstream_proxy, .none = {}};
}

net::HttpClientOptions client_options(const config::Settings& settings, net::AddressRules rules) {
  net::HttpClientOptions options;
  options.user_agent = "polykit-cache/" + std::string(kVersion);
  options.ca_file = settings.upstream_ca_file;
  options.rules = std::move(rules);
  options.proxy = proxies(settings);
  options.connect_timeout = settings.upstream_connect_timeout;
  options.idle_timeout = settings.upstream_idle_timeout;
  return options;
}

upstream::DownloadOptions download_options(const config::Settings& settings) {
  upstream::DownloadOptions options;
  options.active_max = settings.fetch_downloads_max;
  options.retries_max = settings.upstream_retries;
  options.timeout = settings.upstream_timeout;
  options.background = settings.fetch_background;
  options.absent_ttl = settings.fetch_negative_ttl;
  options.rate = settings.fetch_rate_limit;
  options.rate_per_origin = settings.fetch_rate_limit_per_origin;
  return options;
}

} // namespace

net::ProxyOptions proxies_of_environment() {
  return {.http = first_of_environment({"http_proxy"}),
          .https = first_of_environment({"https_proxy", "HTTPS_PROXY"}),
          .none = first_of_environment({"no_proxy", "NO_PROXY"})};
}

Result<std::unique_ptr<Outgoing>> Outgoing::make(const config::Settings& settings,
                                                 OutgoingParts parts) {
  TRY_ASSIGN(auto rules,
             net::AddressRules::make({.hosts_allowed = settings.upstream_allow_hosts,
                                      .hosts_denied = settings.upstream_deny_hosts,
                                      .addresses_allowed = settings.upstream_allow_addresses}));
  std::unique_ptr<Outgoing> outgoing(new Outgoing());
  outgoing->resolver_ = net::make_system_resolver();
  auto client =
      net::HttpClient::make(client_options(settings, std::move(rules)), *outgoing->resolver_);
  if (!client) {
    return std::unexpected(std::move(client).error().prefixed("upstream"));
  }
  outgoing->client_ = *std::move(client);
  outgoing->downloads_ = upstream::make_downloads({.client = *outgoing->client_,
                                                   .store = parts.store,
                                                   .clock = parts.clock,
                                                   .log = parts.log,
                                                   .metrics = parts.metrics},
                                                  download_options(settings));
  return outgoing;
}

} // namespace pkc::app
