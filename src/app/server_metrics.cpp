#include "server_metrics.hpp"

#include <chrono>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

namespace pkc::app {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

template <typename Number>
double to_double(Number number) {
  return static_cast<double>(number);
}

class ServerGauges {
 public:
  ServerGauges(ops::Metrics& metrics, http::Server& server)
      : server_(server),
        active_(connections(metrics, "active")),
        idle_(connections(metrics, "idle")),
        handshaking_(connections(metrics, "handshaking")),
        closing_(connections(metrics, "closing")),
        connections_max_(metrics.gauge("polykit_cache_connections_max",
                                       "The most connections that may be open at once.")),
        queued_(metrics.gauge("polykit_cache_queued_connections",
                              "Connections in the kernel's queue that were not accepted yet; NaN "
                              "for a Unix socket.")),
        accepted_(metrics.sampled_counter("polykit_cache_accepted_connections_total",
                                          "Connections accepted, those refused included.")),
        busy_(workers(metrics, "busy")),
        free_(workers(metrics, "idle")),
        workers_max_(metrics.gauge("polykit_cache_workers_max",
                                   "The most threads that may answer at once.")),
        uploads_(metrics.gauge("polykit_cache_uploads", "Uploads whose bodies are on their way.")),
        uploads_max_(metrics.gauge("polykit_cache_uploads_max",
                                   "The most uploads that may be on their way at once.")),
        refused_connections_(refused(metrics, "connections")),
        refused_per_client_(refused(metrics, "connections_per_client")),
        refused_uploads_(refused(metrics, "uploads")),
        refused_paced_(refused(metrics, "paced")) {}

  void update() {
    const http::ServerLoad load = server_.load();
    const std::size_t not_idle =
        load.connections_active + load.connections_handshaking + load.connections_closing;
    active_.set(to_double(load.connections_active));
    idle_.set(to_double(load.connections - not_idle));
    handshaking_.set(to_double(load.connections_handshaking));
    closing_.set(to_double(load.connections_closing));
    connections_max_.set(to_double(load.connections_max));
    queued_.set(load.connections_queued ? to_double(*load.connections_queued) : kUnknown);
    accepted_.set(to_double(load.accepted));
    busy_.set(to_double(load.workers_busy));
    free_.set(to_double(load.workers - load.workers_busy));
    workers_max_.set(to_double(load.workers_max));
    uploads_.set(to_double(load.uploads));
    uploads_max_.set(to_double(load.uploads_max));
    refused_connections_.set(to_double(load.refused_connections));
    refused_per_client_.set(to_double(load.refused_per_client));
    refused_uploads_.set(to_double(load.refused_uploads));
    refused_paced_.set(to_double(load.refused_paced));
  }

 private:
  static ops::Gauge& connections(ops::Metrics& metrics, std::string_view state) {
    return metrics.gauge(
        "polykit_cache_connections", "Open connections, by what they are at.", {{"state", state}});
  }
  static ops::Gauge& workers(ops::Metrics& metrics, std::string_view state) {
    return metrics.gauge(
        "polykit_cache_workers", "Threads that answer requests.", {{"state", state}});
  }
  static ops::Gauge& refused(ops::Metrics& metrics, std::string_view reason) {
    return metrics.sampled_counter(ops::kRefusedName, ops::kRefusedHelp, {{"reason", reason}});
  }

  http::Server& server_;
  ops::Gauge& active_;
  ops::Gauge& idle_;
  ops::Gauge& handshaking_;
  ops::Gauge& closing_;
  ops::Gauge& connections_max_;
  ops::Gauge& queued_;
  ops::Gauge& accepted_;
  ops::Gauge& busy_;
  ops::Gauge& free_;
  ops::Gauge& workers_max_;
  ops::Gauge& uploads_;
  ops::Gauge& uploads_max_;
  ops::Gauge& refused_connections_;
  ops::Gauge& refused_per_client_;
  ops::Gauge& refused_uploads_;
  ops::Gauge& refused_paced_;
};

class DiskGauges {
 public:
  DiskGauges(ops::Metrics& metrics, FileSystem& file_system, std::string path, const Clock& clock)
      : file_system_(file_system),
        path_(std::move(path)),
        clock_(clock),
        size_(metrics.gauge("polykit_cache_disk_size_bytes",
                            "Size of the file system that the artifacts are on.")),
        free_(metrics.gauge("polykit_cache_disk_free_bytes",
                            "Free space of the file system that the artifacts are on.")),
        files_(metrics.gauge("polykit_cache_disk_inodes",
                             "Files that the file system of the artifacts has room for; 0 when it "
                             "has no such limit.")),
        files_free_(
            metrics.gauge("polykit_cache_disk_free_inodes",
                          "Files that may still be made on the file system of the artifacts.")) {}

  void update() {
    constexpr std::chrono::seconds kInterval{5};
    const SteadyTime now = clock_.steady_now();
    if (asked_ && now - *asked_ < kInterval) {
      return;
    }
    asked_ = now;
    const auto space = file_system_.space(path_);
    size_.set(space ? to_double(space->size) : kUnknown);
    free_.set(space ? to_double(space->available) : kUnknown);
    files_.set(space ? to_double(space->files) : kUnknown);
    files_free_.set(space ? to_double(space->files_available) : kUnknown);
  }

 private:
  FileSystem& file_system_;
  const std::string path_;
  const Clock& clock_;
  std::optional<SteadyTime> asked_; ///< render() calls collectors one at a time
  ops::Gauge& size_;
  ops::Gauge& free_;
  ops::Gauge& files_;
  ops::Gauge& files_free_;
};

} // namespace

ops::Metrics::Registration add_server_metrics(ops::Metrics& metrics, http::Server& server) {
  return metrics.add_collector(
      [gauges = ServerGauges(metrics, server)]() mutable { gauges.update(); });
}

ops::Metrics::Registration add_disk_metrics(ops::Metrics& metrics,
                                            FileSystem& file_system,
                                            std::string path,
                                            const Clock& clock) {
  return metrics.add_collector(
      [gauges = DiskGauges(metrics, file_system, std::move(path), clock)]() mutable {
        gauges.update();
      });
}

} // namespace pkc::app
