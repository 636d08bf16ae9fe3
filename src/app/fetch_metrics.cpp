#include "fetch_metrics.hpp"

#include "storage.hpp"

#include <limits>

namespace pkc::app {

namespace {

ops::Counter& requests(ops::Metrics& metrics, std::string_view status) {
  return metrics.counter("artifact_cache_requests_total",
                         "Requests to /fetch, by what became of them.",
                         {{"status", status}});
}

} // namespace

FetchMetrics::FetchMetrics(ops::Metrics& metrics)
    : hits_(requests(metrics, "hit")),
      misses_(requests(metrics, "miss")),
      errors_(requests(metrics, "error")),
      bytes_served_(metrics.counter("artifact_cache_bytes_served_total",
                                    "Bytes of the bodies that /fetch has sent.")),
      durations_(metrics.histogram("artifact_cache_request_duration_seconds",
                                   "From the whole head of a request to /fetch to the last byte of "
                                   "its answer handed to the kernel.",
                                   ops::request_durations())) {}

void FetchMetrics::count(const http::AccessRecord& record) {
  const bool whole = !record.aborted;
  if (whole && record.outcome == http::Outcome::hit) {
    hits_.add();
  } else if (whole && record.outcome == http::Outcome::miss) {
    misses_.add();
  } else {
    errors_.add();
  }
  bytes_served_.add(record.bytes_sent);
  durations_.observe(static_cast<std::uint64_t>(record.duration.count()));
}

ops::Metrics::Registration add_archive_metrics(ops::Metrics& metrics, index::Index& index) {
  ops::Gauge& items =
      metrics.gauge("artifact_cache_items_total", "URLs that the archive has a file of.");
  ops::Gauge& size = metrics.gauge("artifact_cache_size_bytes",
                                   "What the archived files take, compressed as they are stored.");
  return metrics.add_collector([&items, &size, &index] {
    constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
    const auto records = index.totals(kFetchSpace);
    const auto contents = index.totals(kContentSpace);
    items.set(records ? static_cast<double>(records->objects) : kUnknown);
    size.set(contents ? static_cast<double>(contents->size) : kUnknown);
  });
}

} // namespace pkc::app
