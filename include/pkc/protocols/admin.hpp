// What an operator asks the server over HTTP.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/http/router.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/inventory.hpp"
#include "pkc/store/readiness.hpp"
#include "pkc/store/rebuild.hpp"

#include <string>

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

/// Who answers.
struct ServerIdentity {
  std::string version;
  std::string commit; ///< may be empty
  SteadyTime started; ///< of the process
};

/// Adds, all for Scope::admin and with JSON answers that no cache may keep:
///
///     GET    /api/stats                          totals of what was downloaded and of each space,
///                                                limits, state of the index
///     GET    /api/artifacts                      one page of objects; space, prefix, sort (key,
///                                                stored, accessed, size), order (asc, desc),
///                                                limit (1 to 1000), cursor ("next" of the last)
///     GET    /api/artifacts?space=fetch          one page of downloads; url_prefix (which makes
///                                                `space` unnecessary), sort (url, size, age,
///                                                access), order, limit, cursor
///     GET    /api/artifacts/{id}                 one download by the key of its record, or 404
///     DELETE /api/artifacts/{id}                 204, or 404; its content goes along, unless
///                                                another URL has it
///     GET    /api/artifacts/{space}/{key}        what is known of one object, or 404
///     DELETE /api/artifacts/{space}/{key}        204, or 404
///     PUT    /api/artifacts/{space}/{key}/pin    204, or 404
///     DELETE /api/artifacts/{space}/{key}/pin    204, or 404
///     POST   /api/gc                             lets objects go for about two seconds: max_size,
///                                                older_than, space; neither: to the limits.
///                                                "finished" says whether to ask again
///
/// A wrong parameter is 400 and named; 503 says that the index cannot be asked now. References
/// outlive the router.
void mount_inventory(http::Router& router,
                     store::Inventory& inventory,
                     const Clock& clock,
                     ops::Log& log,
                     const ServerIdentity& identity);

/// Adds, for Scope::admin and with JSON answers that no cache may keep:
///
///     POST /api/index/rebuild    202, and the whole index is compared with the files; 409 while
///                                that is under way
///     GET  /api/index/rebuild    200: "state" (none, waiting, running, done, failed), and how far
///                                it is
///
/// `rebuild` outlives the router.
void mount_rebuild(http::Router& router, store::Rebuild& rebuild);

} // namespace pkc::protocols
