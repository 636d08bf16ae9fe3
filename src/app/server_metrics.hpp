// What the server, the disk and the process hold at the moment, measured when somebody asks.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/http/server.hpp"
#include "pkc/ops/metrics.hpp"

#include <string>
#include <string_view>

namespace pkc::app {

/// Connections, workers, uploads, and who was refused. All of the arguments outlive the returned
/// value.
[[nodiscard]] ops::Metrics::Registration add_server_metrics(ops::Metrics& metrics,
                                                            http::Server& server);

/// Size and free space of the file system that `path` lies on; NaN when it does not say. It is
/// asked once in five seconds at most, as it may be a network's. The references outlive the
/// returned value.
[[nodiscard]] ops::Metrics::Registration add_disk_metrics(ops::Metrics& metrics,
                                                          FileSystem& file_system,
                                                          std::string path,
                                                          const Clock& clock);

struct Build {
  std::string_view version;
  std::string_view commit;
};

/// The build, and what the kernel says of this process, under the names that Prometheus'
/// own libraries use. To be called at the start, as it notes the time. `metrics` outlives the
/// returned value.
[[nodiscard]] ops::Metrics::Registration add_process_metrics(ops::Metrics& metrics,
                                                             const Build& build,
                                                             const Clock& clock);

} // namespace pkc::app
