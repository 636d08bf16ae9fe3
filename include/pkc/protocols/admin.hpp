// What an operator asks the server over HTTP.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/http/router.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/readiness.hpp"

namespace pkc::protocols {

/// Adds GET /metrics, and HEAD: Prometheus text. `metrics` outlives the router.
void mount_metrics(http::Router& router, ops::Metrics& metrics);

/// Adds, each for HEAD as well:
///
///     GET /up        200 for as long as the server answers at all: whether to restart it
///     GET /health    200 {"status":"healthy","timestamp":"2026-01-31T12:00:00Z"}, or 503
///                    {"status":"unhealthy","error":"the disk is full","timestamp":…}: whether to
///                    send it requests
///
/// No cache may keep any of the answers. All references outlive the router.
void mount_admin(http::Router& router, store::Readiness& readiness, const Clock& clock);

} // namespace pkc::protocols
