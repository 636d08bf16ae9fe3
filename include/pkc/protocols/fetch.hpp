// GET /fetch?url=…: any HTTP download, once.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/http/router.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/upstream/downloads.hpp"

#include <chrono>

namespace pkc::protocols {

/// What the routes act on; all of it outlives the router.
struct FetchServices {
  store::Archive& archive;
  store::ContentAddressedStore& contents;
  upstream::Downloads& downloads;
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

struct FetchOptions {
  ByteCount size_max = 16 * kGiB;
  /// What was looked at longer ago is compared with the origin in the background; 0: never.
  std::chrono::milliseconds revalidate_age{0};
  ByteCount client_rate = 0; ///< bytes per second to one client address; 0: any
};

/// The space of the records, whose tokens may fetch.
inline constexpr std::string_view kFetchSpace = "fetch";

/// Adds GET /fetch, and HEAD, which never downloads: spec/fetch.md has the answers. Parameters: url
/// (percent-encoded), sha256, sha1, sha512, md5 (all given ones must be right), refresh=1.
void mount_fetch(http::Router& router, const FetchServices& services, const FetchOptions& options);

} // namespace pkc::protocols
