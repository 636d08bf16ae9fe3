#include "request_metrics.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <cstdint>

namespace pkc::app {

namespace {

using http::AccessRecord;
using http::Method;
using http::Outcome;

constexpr std::array<std::string_view, 8> kMethodNames = {
    "get", "head", "put", "post", "delete", "options", "patch", "other"};
/// In place of by_status stands what a success is called.
constexpr std::array<std::string_view, 7> kOutcomeNames = {
    "ok", "hit", "miss", "stored", "exists", "rejected", "failed"};

template <typename Enum>
constexpr std::size_t index_of(Enum value) {
  return static_cast<std::size_t>(value);
}

Outcome outcome_of(const AccessRecord& record) {
  constexpr int kClientError = 400;
  constexpr int kServerError = 500;
  if (record.outcome != Outcome::by_status || record.status < kClientError) {
    return record.outcome;
  }
  return record.status < kServerError ? Outcome::rejected : Outcome::failed;
}

/// Neither a client that was turned away before it could ask, which the server counts, nor a
/// message about the server itself.
bool is_request(const AccessRecord& record) {
  constexpr int kBusy = 503;
  return !record.method.empty() || (record.status != 0 && record.status != kBusy);
}

} // namespace

RequestMetrics::ProtocolCells RequestMetrics::make_cells(ops::Metrics& metrics,
                                                         std::string_view protocol) {
  const ops::Label label{"protocol", protocol.empty() ? "none" : protocol};
  return {
      .protocol = protocol,
      .received = &metrics.counter(
          "polykit_cache_received_bytes_total", "Bytes of request bodies, by protocol.", {label}),
      .sent = &metrics.counter(
          "polykit_cache_sent_bytes_total", "Bytes of response bodies, by protocol.", {label}),
      .aborted = &metrics.counter("polykit_cache_aborted_answers_total",
                                  "Answers broken off: the client left or was too slow, or "
                                  "the stored bytes turned out bad.",
                                  {label}),
      .methods = {}};
}

void RequestMetrics::add_method(ops::Metrics& metrics, ProtocolCells& cells, Method method) {
  static_assert(kMethodNames.size() == kMethods && kOutcomeNames.size() == kOutcomes);
  const ops::Label protocol{"protocol", cells.protocol.empty() ? "none" : cells.protocol};
  const ops::Label name{"method", kMethodNames.at(index_of(method))};
  MethodCells& cell = cells.methods.at(index_of(method));
  for (std::size_t outcome = 0; outcome < kOutcomes; ++outcome) {
    cell.outcomes.at(outcome) =
        &metrics.counter("polykit_cache_requests_total",
                         "Requests by protocol, method and outcome.",
                         {protocol, name, {"outcome", kOutcomeNames.at(outcome)}});
  }
  if (!cells.protocol.empty()) {
    cell.durations = &metrics.histogram(
        "polykit_cache_request_duration_seconds",
        "From the whole head of a request to the last byte of its answer handed to the kernel.",
        ops::request_durations(),
        {protocol, name});
  }
}

RequestMetrics::RequestMetrics(ops::Metrics& metrics, std::span<const http::Endpoint> endpoints)
    : handshakes_failed_(metrics.counter("polykit_cache_tls_handshake_failures_total",
                                         "Clients that TLS could not be agreed on with.")),
      exceptions_(metrics.counter("polykit_cache_internal_errors_total",
                                  "Errors that nobody foresaw: each is in the log, and a bug or a "
                                  "machine at its limits.")),
      fetch_(metrics) {
  protocols_.push_back(make_cells(metrics, ""));
  add_method(metrics, protocols_.front(), Method::other);
  for (const http::Endpoint& endpoint : endpoints) {
    auto cells = std::ranges::find(protocols_, endpoint.protocol, &ProtocolCells::protocol);
    if (cells == protocols_.end()) {
      cells = protocols_.insert(cells, make_cells(metrics, endpoint.protocol));
    }
    add_method(metrics, *cells, endpoint.method);
  }
}

RequestMetrics::ProtocolCells& RequestMetrics::cells_of(std::string_view protocol) {
  const auto cells = std::ranges::find(protocols_, protocol, &ProtocolCells::protocol);
  PKC_ASSERT(cells != protocols_.end()); // a route that endpoints() did not name
  return *cells;
}

void RequestMetrics::count(const AccessRecord& record) {
  if (record.handshake) {
    handshakes_failed_.add();
    return;
  }
  if (!record.failure.empty() && !record.aborted) {
    exceptions_.add();
  }
  if (!is_request(record)) {
    return;
  }
  ProtocolCells& cells = cells_of(record.protocol);
  const Method method = record.protocol.empty() ? Method::other : record.method_kind;
  MethodCells& cell = cells.methods.at(index_of(method));
  PKC_ASSERT(cell.outcomes.front() != nullptr);
  cell.outcomes.at(index_of(outcome_of(record)))->add();
  if (cell.durations != nullptr) {
    cell.durations->observe(static_cast<std::uint64_t>(record.duration.count()));
  }
  if (record.bytes_received > 0) {
    cells.received->add(record.bytes_received);
  }
  if (record.bytes_sent > 0) {
    cells.sent->add(record.bytes_sent);
  }
  if (record.aborted) {
    cells.aborted->add();
  }
  if (record.protocol == kFetchProtocol) {
    fetch_.count(record);
  }
}

} // namespace pkc::app
