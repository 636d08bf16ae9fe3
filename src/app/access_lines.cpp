#include "access_lines.hpp"

#include "redaction.hpp"

#include <string>
#include <string_view>

namespace pkc::app {

namespace {

/// An exception in a handler or a machine out of descriptors is for the operator to act on; an
/// answer that a client did not take is everyday life and shows as outcome=aborted.
void log_failure(const http::AccessRecord& record, std::string_view path, ops::Log& log) {
  if (record.failure.empty() || record.aborted) {
    return;
  }
  log.error("server failure",
            {{"method", record.method}, {"path", path}, {"reason", record.failure}});
}

void write_line(const http::AccessRecord& record, std::string_view path, ops::Log& log) {
  log.info("request",
           {{"method", record.method},
            {"path", path},
            {"status", record.status},
            {"bytes", record.bytes_sent},
            {"received", record.bytes_received},
            {"duration_us", record.duration.count()},
            {"client", record.client_address},
            {"outcome", record.aborted ? "aborted" : "complete"}});
}

} // namespace

http::AccessLog make_access_log(const AccessTargets& targets) {
  return [targets](const http::AccessRecord& record) {
    targets.metrics.count(record);
    if (record.handshake) {
      targets.log.debug("TLS handshake failed",
                        {{"client", record.client_address}, {"reason", record.failure}});
      return;
    }
    std::string room;
    const std::string_view path = redacted(record.target, room);
    log_failure(record, path, targets.log);
    const bool is_request = !record.method.empty() || record.status != 0;
    if (targets.access != nullptr && is_request) {
      write_line(record, path, *targets.access);
    }
  };
}

} // namespace pkc::app
