#include "request_metrics.hpp"

#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

namespace pkc::app {
namespace {

using http::AccessRecord;
using http::Method;
using http::Outcome;

constexpr std::array kEndpoints = {http::Endpoint{"polykit", Method::get},
                                   http::Endpoint{"polykit", Method::put}};

/// What a fresh registry shows after one record.
std::string shown_after(const AccessRecord& record) {
  ops::Metrics metrics;
  RequestMetrics requests(metrics, kEndpoints);
  requests.count(record);
  return metrics.render();
}

/// The sum of all requests.
int requests_in(const std::string& text) {
  int sum = 0;
  for (std::size_t at = text.find("\npolykit_cache_requests_total{"); at != std::string::npos;
       at = text.find("\npolykit_cache_requests_total{", at + 1)) {
    sum += text[text.find("} ", at) + 2] - '0';
  }
  return sum;
}

TEST_SUITE("app::RequestMetrics") {
  TEST_CASE("count: the outcome is the handler's word, else the status speaks") {
    struct Row {
      std::string_view protocol;
      Method method;
      Outcome outcome;
      int status;
      std::string_view shown;
    };
    constexpr std::array kRows = {
        Row{"polykit", Method::get, Outcome::hit, 416, "polykit,get,hit"},
        Row{"polykit", Method::get, Outcome::miss, 404, "polykit,get,miss"},
        Row{"polykit", Method::put, Outcome::stored, 201, "polykit,put,stored"},
        Row{"polykit", Method::put, Outcome::exists, 409, "polykit,put,exists"},
        Row{"polykit", Method::put, Outcome::by_status, 200, "polykit,put,ok"},
        Row{"polykit", Method::put, Outcome::by_status, 403, "polykit,put,rejected"},
        Row{"polykit", Method::put, Outcome::by_status, 500, "polykit,put,failed"},
        Row{"", Method::put, Outcome::by_status, 404, "none,other,rejected"},
        Row{"", Method::get, Outcome::by_status, 204, "none,other,ok"},
    };
    for (const Row& row : kRows) {
      CAPTURE(row.shown);
      const std::string text = shown_after({.method = "X",
                                            .protocol = row.protocol,
                                            .target = "/",
                                            .status = row.status,
                                            .method_kind = row.method,
                                            .outcome = row.outcome,
                                            .client_address = "::1",
                                            .failure = ""});

      const std::string_view shown = row.shown;
      const std::size_t first = shown.find(',');
      const std::size_t second = shown.rfind(',');
      CHECK(text.contains("polykit_cache_requests_total{protocol=\"" +
                          std::string(shown.substr(0, first)) + "\",method=\"" +
                          std::string(shown.substr(first + 1, second - first - 1)) +
                          "\",outcome=\"" + std::string(shown.substr(second + 1)) + "\"} 1\n"));
      CHECK(requests_in(text) == 1);
    }
  }

  TEST_CASE("count: bytes and time go to the protocol") {
    AccessRecord record;
    record.method = "PUT";
    record.method_kind = Method::put;
    record.protocol = "polykit";
    record.status = 201;
    record.bytes_received = 70;
    record.bytes_sent = 3;
    record.duration = std::chrono::microseconds(2500);
    record.aborted = true;
    record.failure = "the client has gone";

    const std::string text = shown_after(record);

    CHECK(text.contains("polykit_cache_received_bytes_total{protocol=\"polykit\"} 70\n"));
    CHECK(text.contains("polykit_cache_sent_bytes_total{protocol=\"polykit\"} 3\n"));
    CHECK(text.contains("polykit_cache_aborted_answers_total{protocol=\"polykit\"} 1\n"));
    constexpr std::string_view kBucket =
        R"(polykit_cache_request_duration_seconds_bucket{protocol="polykit",method="put",le=)";
    CHECK(text.contains(std::string(kBucket) + "\"0.001\"} 0\n"));
    CHECK(text.contains(std::string(kBucket) + "\"0.0025\"} 1\n"));
    CHECK(text.contains("polykit_cache_internal_errors_total 0\n"));
  }

  TEST_CASE("count: what is no request is none") {
    AccessRecord handshake;
    handshake.handshake = true;
    handshake.failure = "no shared cipher";
    std::string text = shown_after(handshake);
    CHECK(requests_in(text) == 0);
    CHECK(text.contains("polykit_cache_tls_handshake_failures_total 1\n"));
    CHECK(text.contains("polykit_cache_internal_errors_total 0\n"));

    AccessRecord trouble;
    trouble.failure = "cannot accept connections";
    text = shown_after(trouble);
    CHECK(requests_in(text) == 0);
    CHECK(text.contains("polykit_cache_internal_errors_total 1\n"));

    AccessRecord turned_away;
    turned_away.status = 503;
    CHECK(requests_in(shown_after(turned_away)) == 0);

    AccessRecord bad_head;
    bad_head.status = 400;
    CHECK(requests_in(shown_after(bad_head)) == 1);
  }
}

} // namespace
} // namespace pkc::app
