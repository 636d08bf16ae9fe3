// The access log: one line for each request, and what went wrong with those that failed.
#pragma once

#include "request_metrics.hpp"

#include "pkc/http/server.hpp"
#include "pkc/ops/log.hpp"

namespace pkc::app {

/// Where what servers report of their requests goes; all of it outlives the returned value.
struct AccessTargets {
  ops::Log& log;    ///< for failures
  ops::Log* access; ///< for one line for each request; null: none
  RequestMetrics& metrics;
};

http::AccessLog make_access_log(const AccessTargets& targets);

} // namespace pkc::app
