// What an operator asks, without a socket.
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/protocols/admin.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <variant>

using pkc::http::Method;
using pkc::http::Response;

namespace {

struct World {
  World() : backend(pkc::blob::make_disk_backend(disk, {.root = "/cache"}).value()) {
    disk.fail_call(std::nullopt);
    pkc::protocols::mount_metrics(router, metrics);
    pkc::protocols::mount_admin(router, readiness, clock);
  }

  Response send(Method method, std::string_view path) const {
    pkc::http::Request request;
    request.method = method;
    request.path = path;
    return router.dispatch(request);
  }
  Response get(std::string_view path) const { return send(Method::get, path); }

  pkc::test::FaultFileSystem disk;
  pkc::test::FakeClock clock;
  pkc::ops::Metrics metrics;
  std::unique_ptr<pkc::blob::Backend> backend;
  pkc::store::Readiness readiness{*backend, clock, pkc::ops::null_log()};
  pkc::http::Router router;
};

std::string text_of(const Response& response) {
  return std::get<std::string>(response.body);
}

} // namespace

TEST_SUITE("protocols::admin") {
  TEST_CASE("health: healthy, with the time") {
    const World world;

    const Response response = world.get("/health");

    CHECK(response.status == 200);
    CHECK(text_of(response) == R"({"status":"healthy","timestamp":"2026-01-01T00:00:00Z"})");
    CHECK(response.headers.get("content-type") == "application/json");
    CHECK(response.headers.get("cache-control") == "no-store");
  }

  TEST_CASE("health: 503 with the reason where nothing can be written, and HEAD says so too") {
    World world;
    world.disk.stop_at_call(0);

    const Response response = world.get("/health");

    CHECK(response.status == 503);
    CHECK(text_of(response) ==
          R"({"status":"unhealthy","error":"the storage directory cannot be written",)"
          R"("timestamp":"2026-01-01T00:00:00Z"})");
    CHECK(response.headers.get("content-type") == "application/json");
    CHECK(response.headers.get("cache-control") == "no-store");
    CHECK(world.send(Method::head, "/health").status == 503);
  }

  TEST_CASE("health: 503 once the server stops, so that no more requests are sent to it") {
    World world;
    REQUIRE(world.get("/health").status == 200);

    world.readiness.stop();

    const Response response = world.get("/health");
    CHECK(response.status == 503);
    CHECK(text_of(response).find("shutting down") != std::string::npos);
  }

  TEST_CASE("up: 200 whatever the disk does, which is not asked") {
    World world;
    world.disk.stop_at_call(0);
    world.readiness.stop();

    CHECK(world.get("/up").status == 200);
    CHECK(world.send(Method::head, "/up").status == 200);
    CHECK(world.get("/up").headers.get("cache-control") == "no-store");
    CHECK(world.disk.calls() == 0);
  }

  TEST_CASE("metrics: Prometheus text") {
    World world;
    world.metrics.counter("polykit_cache_test_total", "A test.").add();

    const Response response = world.get("/metrics");

    CHECK(response.status == 200);
    CHECK(text_of(response).find("polykit_cache_test_total 1\n") != std::string::npos);
  }

  TEST_CASE("all: other methods are refused") {
    const World world;
    for (const std::string_view path : {"/health", "/up", "/metrics"}) {
      CAPTURE(path);
      const Response response = world.send(Method::put, path);
      CHECK(response.status == 405);
      CHECK(response.headers.get("allow") == "GET, HEAD");
    }
  }
}
