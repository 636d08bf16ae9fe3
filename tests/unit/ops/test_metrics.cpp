#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

namespace pkc::ops {
namespace {

TEST_SUITE("ops::Metrics") {
  TEST_CASE("render: help and type come once a family, families in order of first use") {
    Metrics metrics;
    metrics.counter("requests_total", "Requests.", R"(method="get")").add(3);
    metrics.counter("corrupt_total", "Bad objects.").add();
    metrics.counter("requests_total", "Requests.", R"(method="put")").add(2);

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
    Counter& first = metrics.counter("x", "X.", R"(a="1")");

    CHECK(&metrics.counter("x", "X.", R"(a="1")") == &first);
    CHECK(&metrics.counter("x", "X.", R"(a="2")") != &first);
  }

  TEST_CASE("counter: references survive later additions") {
    Metrics metrics;
    Counter& first = metrics.counter("x", "X.");
    for (int number = 0; number < 1000; ++number) {
      metrics.counter("y", "Y.", "n=\"" + std::to_string(number) + "\"");
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
}

} // namespace
} // namespace pkc::ops
