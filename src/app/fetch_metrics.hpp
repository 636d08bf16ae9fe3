// FetchMetrics: the figures of /fetch under the names of spec/fetch.md.
#pragma once

#include "pkc/http/server.hpp"
#include "pkc/index/index.hpp"
#include "pkc/ops/metrics.hpp"

#include <string_view>

namespace pkc::app {

/// The protocol of the routes that are counted.
inline constexpr std::string_view kFetchProtocol = "fetch";

/// Counts requests. Thread-safe. `metrics` outlives it.
class FetchMetrics {
 public:
  explicit FetchMetrics(ops::Metrics& metrics);

  /// REQUIRES: of kFetchProtocol.
  void count(const http::AccessRecord& record);

 private:
  ops::Counter& hits_;
  ops::Counter& misses_;
  ops::Counter& errors_;
  ops::Counter& bytes_served_;
  ops::Histogram& durations_;
};

/// How much is archived, as the index has it; NaN while it cannot be asked. References outlive it.
[[nodiscard]] ops::Metrics::Registration add_archive_metrics(ops::Metrics& metrics,
                                                             index::Index& index);

} // namespace pkc::app
