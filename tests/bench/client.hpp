// run_load: keeps N keep-alive connections busy with one request each and measures the answers.
#pragma once

#include "bench/workload.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pkc::bench {

struct LoadOptions {
  std::string address = "127.0.0.1"; ///< numeric IPv4
  std::uint16_t port = 0;
  std::size_t connections = 32;
  std::uint64_t requests_per_connection = 0; ///< then it is closed and opened anew; 0: kept
  /// The run ends when this many requests were answered …
  std::uint64_t requests_max = ~std::uint64_t{0};
  /// … or when no more were started after this time, whichever comes first.
  std::chrono::milliseconds duration{std::chrono::hours(1)};
};

struct LoadReport {
  std::uint64_t requests = 0;
  ByteCount body_bytes = 0; ///< received by get and miss, sent by put
  std::uint64_t reconnects = 0;
  std::chrono::nanoseconds elapsed{};
  std::chrono::nanoseconds latency_median{}; ///< first byte sent to last byte received
  std::chrono::nanoseconds latency_p99{};
};

/// Runs the workload in the calling thread; no pipelining. The bodies of answers are received in
/// full and counted, not copied (MSG_TRUNC), so that the server is what is measured. Errors:
/// invalid_argument when an answer is not the right one (status or length), unavailable when a
/// connection breaks, timeout when nothing moves for 30 s, io for anything else of the system.
Result<LoadReport> run_load(Workload& workload, const LoadOptions& options);

} // namespace pkc::bench
