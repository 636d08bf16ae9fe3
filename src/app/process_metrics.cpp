#include "server_metrics.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <span>
#include <system_error>

namespace pkc::app {

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct Memory {
  double virtual_bytes = kUnknown;
  double resident_bytes = kUnknown;
};

/// proc_pid_statm(5): sizes in pages, the first all of it, the second what is resident.
Memory read_memory() {
  const auto file = posix_file_system().open("/proc/self/statm");
  std::array<char, 128> text{};
  const auto count = file && *file ? (*file)->read_at(0, std::as_writable_bytes(std::span(text)))
                                   : Result<std::size_t>{0};
  const char* const end = text.data() + count.value_or(0);
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  const auto first = std::from_chars(text.data(), end, all);
  if (first.ec != std::errc{} || first.ptr == end) {
    return {};
  }
  if (std::from_chars(first.ptr + 1, end, resident).ec != std::errc{}) {
    return {};
  }
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  return {.virtual_bytes = static_cast<double>(all) * page,
          .resident_bytes = static_cast<double>(resident) * page};
}

/// The one that reads the directory is not counted.
double count_descriptors() {
  const auto entries = posix_file_system().list("/proc/self/fd");
  if (!entries || !entries->has_value()) {
    return kUnknown;
  }
  return static_cast<double>(entries->value().size()) - 1;
}

double descriptors_max() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<double>(limit.rlim_cur) : kUnknown;
}

double cpu_seconds() {
  constexpr double kMicro = 1e-6;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) {
    return kUnknown;
  }
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * kMicro;
}

class ProcessGauges {
 public:
  explicit ProcessGauges(ops::Metrics& metrics)
      : cpu_(metrics.sampled_counter("process_cpu_seconds_total",
                                     "User and system time of all threads, in seconds.")),
        resident_(metrics.gauge("process_resident_memory_bytes", "Resident memory, in bytes.")),
        virtual_(metrics.gauge("process_virtual_memory_bytes", "Virtual memory, in bytes.")),
        open_(metrics.gauge("process_open_fds", "Open file descriptors.")),
        open_max_(metrics.gauge("process_max_fds", "The most file descriptors that may be open.")) {
  }

  void update() {
    const Memory memory = read_memory();
    cpu_.set(cpu_seconds());
    resident_.set(memory.resident_bytes);
    virtual_.set(memory.virtual_bytes);
    open_.set(count_descriptors());
    open_max_.set(descriptors_max());
  }

 private:
  ops::Gauge& cpu_;
  ops::Gauge& resident_;
  ops::Gauge& virtual_;
  ops::Gauge& open_;
  ops::Gauge& open_max_;
};

} // namespace

ops::Metrics::Registration add_process_metrics(ops::Metrics& metrics,
                                               const Build& build,
                                               const Clock& clock) {
  metrics
      .gauge("polykit_cache_build_info",
             "1; the labels tell the build.",
             {{"version", build.version}, {"commit", build.commit}})
      .set(1);
  metrics.gauge("process_start_time_seconds", "When the process started, in Unix time.")
      .set(static_cast<double>(clock.wall_now().time_since_epoch().count()));
  return metrics.add_collector([gauges = ProcessGauges(metrics)]() mutable { gauges.update(); });
}

} // namespace pkc::app
