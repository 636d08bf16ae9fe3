#include "server_metrics.hpp"
#include "support/fake_clock.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <charconv>
#include <chrono>
#include <string>
#include <string_view>

namespace pkc::app {
namespace {

/// The value of a series without labels; -1 when there is no such number.
double value_of(const std::string& text, std::string_view name) {
  const std::size_t at = text.find("\n" + std::string(name) + " ");
  double value = -1;
  if (at != std::string::npos) {
    const char* const begin = text.data() + at + name.size() + 2;
    std::from_chars(begin, text.data() + text.size(), value);
  }
  return value;
}

TEST_SUITE("app::server_metrics") {
  TEST_CASE("disk: what is asked again within five seconds is the answer of before") {
    const test::TempDir directory;
    test::FakeClock clock;
    ops::Metrics metrics;
    const std::string path = directory.path() + "/here";
    REQUIRE(posix_file_system().make_directory(path));
    const auto place = add_disk_metrics(metrics, posix_file_system(), path, clock);

    const std::string first = metrics.render();
    CHECK(value_of(first, "polykit_cache_disk_size_bytes") > 0);
    CHECK(value_of(first, "polykit_cache_disk_free_bytes") > 0);
    REQUIRE(posix_file_system().remove(path));
    clock.advance(std::chrono::seconds(4));
    CHECK(metrics.render() == first);
    clock.advance(std::chrono::seconds(1));

    CHECK(metrics.render().contains("\npolykit_cache_disk_free_bytes NaN\n"));
  }

  TEST_CASE("process: the numbers are of a living process") {
    test::FakeClock clock;
    ops::Metrics metrics;
    const auto place = add_process_metrics(metrics, {.version = "1", .commit = ""}, clock);

    const std::string text = metrics.render();

    CHECK(text.contains("polykit_cache_build_info{version=\"1\",commit=\"\"} 1\n"));
    CHECK(value_of(text, "process_start_time_seconds") ==
          static_cast<double>(clock.wall_now().time_since_epoch().count()));
    CHECK(value_of(text, "process_resident_memory_bytes") > 100'000);
    CHECK(value_of(text, "process_virtual_memory_bytes") >
          value_of(text, "process_resident_memory_bytes"));
    CHECK(value_of(text, "process_cpu_seconds_total") >= 0);
    CHECK(value_of(text, "process_open_fds") >= 3);
    CHECK(value_of(text, "process_max_fds") >= value_of(text, "process_open_fds"));
  }

  TEST_CASE("process: a descriptor more is one more") {
    test::FakeClock clock;
    ops::Metrics metrics;
    const auto place = add_process_metrics(metrics, {.version = "1", .commit = ""}, clock);
    const double before = value_of(metrics.render(), "process_open_fds");

    const auto file = posix_file_system().open("/proc/self/statm");
    REQUIRE(file);

    CHECK(value_of(metrics.render(), "process_open_fds") == before + 1);
  }
}

} // namespace
} // namespace pkc::app
