// RequestMetrics: counts finished requests.
#pragma once

#include "fetch_metrics.hpp"

#include "pkc/http/router.hpp"
#include "pkc/http/server.hpp"
#include "pkc/ops/metrics.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace pkc::app {

/// Counts requests by protocol, method and outcome, their bytes, and how long they took.
/// Thread-safe and without locks. A request that no route was found for is of protocol "none".
class RequestMetrics {
 public:
  /// Makes every series that `endpoints` can have, so that the first event of a kind is a step from
  /// 0 to 1 and not from nothing, which no alert sees. `metrics` outlives it.
  RequestMetrics(ops::Metrics& metrics, std::span<const http::Endpoint> endpoints);

  void count(const http::AccessRecord& record);

 private:
  static constexpr std::size_t kMethods = static_cast<std::size_t>(http::Method::other) + 1;
  static constexpr std::size_t kOutcomes = static_cast<std::size_t>(http::Outcome::failed) + 1;

  struct MethodCells {
    ops::Histogram* durations = nullptr; ///< null: the protocol has no such method, or is none
    std::array<ops::Counter*, kOutcomes> outcomes{};
  };
  struct ProtocolCells {
    std::string_view protocol; ///< empty: none
    ops::Counter* received = nullptr;
    ops::Counter* sent = nullptr;
    ops::Counter* aborted = nullptr;
    std::array<MethodCells, kMethods> methods{};
  };

  ProtocolCells& cells_of(std::string_view protocol);
  void add_method(ops::Metrics& metrics, ProtocolCells& cells, http::Method method);
  static ProtocolCells make_cells(ops::Metrics& metrics, std::string_view protocol);

  std::vector<ProtocolCells> protocols_; ///< the first is none; few, so a search is a glance
  ops::Counter& handshakes_failed_;
  ops::Counter& exceptions_;
  FetchMetrics fetch_;
};

} // namespace pkc::app
