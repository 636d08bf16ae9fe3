// The Polykit protocol: /v1/artifacts/{key}.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/http/router.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/content_store.hpp"

#include <cstddef>

namespace pkc::protocols {

struct PolykitOptions {
  ByteCount body_size_max = 1 * kGiB; ///< larger uploads are 413
  std::size_t artifact_files_max = 1'000'000;
  ZstdDecodeLimits decode{};
  /// Of the zstd windows of uploads that are checked while they come in, together. An upload that
  /// finds no room is checked after its last byte.
  ByteCount check_windows_max = 24 * kMiB;
  std::size_t late_checks_max = 4; ///< at once, of those
};

/// Adds GET, HEAD and PUT of /v1/artifacts/{key}: the wire of the original server 0.2.0 with its
/// defects repaired, and conditional and range requests on top. All references outlive the router.
void mount_polykit(http::Router& router,
                   store::ContentStore& store,
                   ops::Log& log,
                   ops::Metrics& metrics,
                   const PolykitOptions& options);

} // namespace pkc::protocols
