// Outgoing: how this server asks others, put together from the settings.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/net/http_client.hpp"
#include "pkc/net/resolver.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/upstream/downloads.hpp"

#include <memory>

namespace pkc::app {

/// What it acts on; all of it outlives it.
struct OutgoingParts {
  store::ContentAddressedStore& store;
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

/// The proxies that the environment names: http_proxy, https_proxy and no_proxy, in lower case or,
/// but for HTTP_PROXY, which a CGI client can set, in upper case, as curl has it. Before there are
/// threads that change the environment.
net::ProxyOptions proxies_of_environment();

/// The client of origins and the downloads that go on. Thread-safe. Destruction ends all downloads.
class Outgoing {
 public:
  /// Errors: invalid_argument for settings of no use, naming the setting; io.
  static Result<std::unique_ptr<Outgoing>> make(const config::Settings& settings,
                                                OutgoingParts parts);

  [[nodiscard]] upstream::Downloads& downloads() { return *downloads_; }

 private:
  Outgoing() = default;

  std::unique_ptr<net::Resolver> resolver_;
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<upstream::Downloads> downloads_;
};

} // namespace pkc::app
