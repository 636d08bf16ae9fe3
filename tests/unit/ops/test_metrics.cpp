#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::ops {
namespace {

TEST_SUITE("ops::Metrics") {
  TEST_CASE("render: help and type come once a family, families in order of first use") {
    Metrics metrics;
    metrics.counter("requests_total", "Requests.", {{"method", "get"}}).add(3);
    metrics.counter("corrupt_total", "Bad objects.").add();
    metrics.counter("requests_total", "Requests.", {{"method", "put"}}).add(2);

    CHECK(metrics.render() ==
          "# HELP requests_total Requests.\n"
          "# TYPE requests_total counter\n"
          "requests_total{method=\"get\"} 3\n"
          "requests_total{method=\"put\"} 2\n"
          "# HELP corrupt_total Bad objects.\n"
          "# TYPE corrupt_total counter\n"
          "corrupt_total 1\n");
  }

  TEST_CASE("render: nothing for an empty registry") {
    Metrics metrics;

    CHECK(metrics.render().empty());
  }

  TEST_CASE("render: help stays on one line") {
    Metrics metrics;
    metrics.counter("x", "one\ntwo \\ three");

    CHECK(metrics.render() == "# HELP x one\\ntwo \\\\ three\n# TYPE x counter\nx 0\n");
  }

  TEST_CASE("counter: the same name and labels give the same counter") {
    Metrics metrics;
    Counter& first = metrics.counter("x", "X.", {{"a", "1"}});

    CHECK(&metrics.counter("x", "X.", {{"a", "1"}}) == &first);
    CHECK(&metrics.counter("x", "X.", {{"a", "2"}}) != &first);
  }

  TEST_CASE("counter: references survive later additions") {
    Metrics metrics;
    Counter& first = metrics.counter("x", "X.");
    for (int number = 0; number < 250; ++number) {
      metrics.counter("y", "Y.", {{"n", std::to_string(number)}});
    }

    first.add(7);

    CHECK(metrics.counter("x", "X.").value() == 7);
  }

  TEST_CASE("counter: additions of many threads all count") {
    Metrics metrics;
    {
      std::vector<std::jthread> threads;
      threads.reserve(4);
      for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&metrics] {
          for (int count = 0; count < 1000; ++count) {
            metrics.counter("x", "X.").add();
          }
        });
      }
    }

    CHECK(metrics.counter("x", "X.").value() == 4000);
  }

  TEST_CASE("counter: label values are escaped, whatever they hold") {
    Metrics metrics;
    metrics.counter("x", "X.", {{"a", "quote \" slash \\ line\nend"}, {"b", ""}});

    CHECK(metrics.render().ends_with(R"(x{a="quote \" slash \\ line\nend",b=""} 0)"
                                     "\n"));
  }

  TEST_CASE("gauge: numbers as Prometheus reads them") {
    struct Row {
      double value;
      std::string_view shown;
    };
    constexpr std::array kRows = {Row{0, "0"},
                                  Row{-1.5, "-1.5"},
                                  Row{0.1, "0.1"},
                                  Row{1795262213, "1795262213"},
                                  Row{1e300, "1e+300"},
                                  Row{std::numeric_limits<double>::quiet_NaN(), "NaN"},
                                  Row{std::numeric_limits<double>::infinity(), "+Inf"},
                                  Row{-std::numeric_limits<double>::infinity(), "-Inf"}};
    for (const Row& row : kRows) {
      CAPTURE(row.shown);
      Metrics metrics;
      metrics.gauge("g", "G.").set(row.value);

      CHECK(metrics.render() == "# HELP g G.\n# TYPE g gauge\ng " + std::string(row.shown) + "\n");
    }
  }

  TEST_CASE("gauge: goes up and down") {
    Metrics metrics;
    Gauge& gauge = metrics.gauge("g", "G.");

    gauge.add(3);
    gauge.add(-1);

    CHECK(metrics.gauge("g", "G.").value() == 2);
  }

  TEST_CASE("sampled counter: is shown as a counter, beside those that count themselves") {
    Metrics metrics;
    metrics.counter("c_total", "C.", {{"by", "us"}}).add(2);
    metrics.sampled_counter("c_total", "C.", {{"by", "kernel"}}).set(1.25);

    CHECK(metrics.render() ==
          "# HELP c_total C.\n# TYPE c_total counter\n"
          "c_total{by=\"us\"} 2\nc_total{by=\"kernel\"} 1.25\n");
  }

  TEST_CASE("histogram: a bound belongs to its bucket, and buckets add up") {
    static constexpr std::array<std::uint64_t, 2> kBounds = {500'000, 2'000'000};
    Metrics metrics;
    Histogram& histogram =
        metrics.histogram("h_seconds", "H.", {kBounds, 1'000'000}, {{"method", "get"}});
    for (const std::uint64_t ticks : {0U, 500'000U, 500'001U, 2'000'000U, 2'000'001U, 9'000'000U}) {
      histogram.observe(ticks);
    }

    CHECK(metrics.render() ==
          "# HELP h_seconds H.\n# TYPE h_seconds histogram\n"
          "h_seconds_bucket{method=\"get\",le=\"0.5\"} 2\n"
          "h_seconds_bucket{method=\"get\",le=\"2\"} 4\n"
          "h_seconds_bucket{method=\"get\",le=\"+Inf\"} 6\n"
          "h_seconds_sum{method=\"get\"} 14.000002\n"
          "h_seconds_count{method=\"get\"} 6\n");
  }

  TEST_CASE("histogram: observations of many threads all count, also while it is rendered") {
    constexpr std::uint64_t kThreads = 8;
    constexpr std::uint64_t kObservations = 5'000;
    Metrics metrics;
    Histogram& histogram = metrics.histogram("h", "H.", request_durations());
    {
      std::vector<std::jthread> threads;
      threads.reserve(kThreads);
      for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&] {
          for (std::uint64_t count = 0; count < kObservations; ++count) {
            histogram.observe(count);
          }
        });
      }
      CHECK(metrics.render().contains("h_count"));
    }

    const Histogram::Snapshot snapshot = histogram.snapshot();
    CHECK(snapshot.cumulative.back() == kThreads * kObservations);
    CHECK(snapshot.cumulative.front() == kThreads * 101); // 0 to 100 microseconds
    CHECK(std::llround(snapshot.sum * 1'000'000) ==
          kThreads * kObservations * (kObservations - 1) / 2);
  }

  TEST_CASE("collector: is asked by every rendering until it leaves") {
    Metrics metrics;
    Gauge& gauge = metrics.gauge("g", "G.");
    auto place = metrics.add_collector([&gauge] { gauge.add(1); });

    CHECK(metrics.render().ends_with("g 1\n"));
    CHECK(metrics.render().ends_with("g 2\n"));
    place.reset();
    CHECK(metrics.render().ends_with("g 2\n"));
  }

  TEST_CASE("collector: has ended when its place is given up") {
    Metrics metrics;
    for (int round = 0; round < 200; ++round) {
      auto alive = std::make_unique<std::atomic<bool>>(true);
      bool met_the_dead = false;
      auto place = metrics.add_collector([&] { met_the_dead = met_the_dead || !*alive; });
      std::jthread renderer([&metrics] { static_cast<void>(metrics.render()); });
      place.reset();
      alive->store(false);
      renderer.join();

      CHECK_FALSE(met_the_dead);
    }
  }
}

} // namespace
} // namespace pkc::ops
