#include "metrics_listener.hpp"

#include "pkc/protocols/admin.hpp"

#include <utility>

namespace pkc::app {

MetricsListener::MetricsListener(std::optional<http::ServerOptions> options,
                                 ops::Metrics& metrics,
                                 http::AccessLog access_log,
                                 ops::Log& log)
    : options_(std::move(options)),
      metrics_(metrics),
      access_log_(std::move(access_log)),
      log_(log) {}

http::ServerOptions MetricsListener::options_for(std::string bind, std::uint16_t port) {
  http::ServerOptions options;
  options.bind = std::move(bind);
  options.port = port;
  options.workers_min = 1;
  options.workers_max = 2;
  options.connections_max = 32;
  options.uploads_max = 1;
  return options;
}

Result<void> MetricsListener::start() {
  if (!options_) {
    return {};
  }
  http::Router router;
  protocols::mount_metrics(router, metrics_);
  auto server = http::Server::start(*options_, std::move(router), access_log_);
  if (!server) {
    return std::unexpected(std::move(server).error().prefixed("metrics-bind"));
  }
  server_ = *std::move(server);
  log_.info("metrics are served", {{"address", server_->address()}});
  return {};
}

} // namespace pkc::app
