// What an operator asks the server over HTTP.
#pragma once

#include "pkc/http/router.hpp"
#include "pkc/ops/metrics.hpp"

namespace pkc::protocols {

/// Adds GET /metrics (Prometheus text). `metrics` outlives the router.
void mount_admin(http::Router& router, ops::Metrics& metrics);

} // namespace pkc::protocols
