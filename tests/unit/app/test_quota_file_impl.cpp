#include "quota_file.hpp"
#include "support/fake_clock.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/digest.hpp"
#include "pkc/http/router.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::app {
namespace {

using namespace std::chrono_literals;
using http::QuotaUse;

constexpr auto kNever = std::chrono::hours(1);
const std::chrono::sys_days kDay = std::chrono::sys_days(std::chrono::year(2026) / 1 / 1);

/// A door whose token "ci" may write 100 bytes a day.
class Door {
 public:
  Door() {
    http::TokenRule ci{.name = "ci",
                       .digest = sha256(as_bytes("secret")),
                       .grants = {{.scopes = {http::Scope::write}, .spaces = {}, .projects = {}}},
                       .expires = {},
                       .user = {},
                       .limits = {}};
    ci.limits.write_bytes_per_day = 100;
    control = std::make_shared<http::AccessControl>(
        http::AccessRules{.tokens = {ci}, .anonymous = {}}, http::AccessObserver(), clock);
    router_.guard(control);
    router_.add(
        {http::Method::put, "/x", http::RouteAccess::write("x"), [](http::Request& request) {
           std::byte byte{};
           while (request.body->read({&byte, 1}).value_or(0) > 0) {
           }
           return http::make_response(201);
         }});
    router_.add({http::Method::put,
                 "/vain",
                 http::RouteAccess::write("x"),
                 [this](http::Request& /*request*/) {
                   meanwhile_();
                   return http::make_response(400);
                 }});
  }

  int put(std::size_t size) { return put("/x", size); }
  /// Of an upload that fails, after `meanwhile`.
  int put_in_vain(std::size_t size, std::function<void()> meanwhile) {
    meanwhile_ = std::move(meanwhile);
    return put("/vain", size);
  }

  test::FakeClock clock;
  std::shared_ptr<http::AccessControl> control;

 private:
  int put(const std::string& path, std::size_t size) {
    class Body final : public http::RequestBody {
     public:
      explicit Body(std::size_t size) : size_(size), left_(size) {}
      [[nodiscard]] std::optional<ByteCount> length() const override { return size_; }
      Result<std::size_t> read(MutableByteSpan /*buffer*/) override {
        return left_ > 0 ? (--left_, 1) : 0;
      }

     private:
      std::size_t size_;
      std::size_t left_;
    } body(size);
    http::Request request;
    request.method = http::Method::put;
    request.path = path;
    request.body = &body;
    request.headers.add("Authorization", "Bearer secret");
    return router_.dispatch(request).status;
  }

  http::Router router_;
  std::function<void()> meanwhile_;
};

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

QuotaFile make_file(Door& door, const std::string& root, std::chrono::milliseconds interval) {
  return {*door.control,
          posix_file_system(),
          ops::null_log(),
          {.path = root + "/token-usage",
           .temp_stem = root + "/1-usage",
           .lock_path = root + "/lock",
           .interval = interval}};
}

std::optional<ByteCount> used(const Door& door) {
  const auto uses = door.control->quota_uses();
  return uses.size() == 1 ? std::optional(uses.front().written) : std::nullopt;
}

TEST_SUITE("app::QuotaFile") {
  TEST_CASE("format: is what parse reads") {
    const std::vector<QuotaUse> uses = {{.name = "a.b@c-D_9", .day = kDay, .written = 0},
                                        {.name = "ci", .day = kDay, .written = ~ByteCount{0}}};

    const std::string text = format_quota_uses(uses);

    CHECK(text ==
          "polykit-cache token usage 1\n2026-01-01 a.b@c-D_9 0\n"
          "2026-01-01 ci 18446744073709551615\n");
    CHECK(parse_quota_uses(text) == uses);
    CHECK(parse_quota_uses(format_quota_uses({})) == std::vector<QuotaUse>());
  }

  TEST_CASE("parse: anything else is corrupt") {
    const std::string first = "polykit-cache token usage 1\n";
    for (const std::string& text :
         std::vector<std::string>{"",
                                  "polykit-cache token usage 1",
                                  "polykit-cache token usage 2\n",
                                  first + "\n",
                                  first + "2026-01-01 ci 5",
                                  first + "2026-01-01 ci\n",
                                  first + "2026-01-01 ci \n",
                                  first + "2026-01-01  5\n",
                                  first + "2026-01-01 ci -5\n",
                                  first + "2026-01-01 ci 5 \n",
                                  first + "2026-01-01 c i 5\n",
                                  first + "2026-02-30 ci 5\n",
                                  first + "2026-01-01T00:00:00Z ci 5\n",
                                  first + "2026-01-01 ci 5\n\n",
                                  first + "2026-01-01 ci " + "18446744073709551616\n",
                                  first + "2026-01-01 " + std::string(65, 'x') + " 5\n"}) {
      CAPTURE(text);
      const auto parsed = parse_quota_uses(text);
      REQUIRE_FALSE(parsed.has_value());
      CHECK(parsed.error().code == Errc::corrupt);
    }
  }

  TEST_CASE("a stop keeps what was used, and the next start knows it") {
    const test::TempDir root;
    {
      Door door;
      QuotaFile file = make_file(door, root.path(), kNever);
      file.job().start();
      CHECK(door.put(60) == 201);
      file.job().stop();
    }

    Door door;
    QuotaFile file = make_file(door, root.path(), kNever);
    file.sync();
    file.job().start();

    CHECK(used(door) == 60);
    CHECK(door.put(41) == 403);
    CHECK(door.put(40) == 201);
    door.clock.advance(24h);
    CHECK(door.put(100) == 201);
    file.job().stop();
    CHECK(read(root / "token-usage") == "polykit-cache token usage 1\n2026-01-02 ci 100\n");
    CHECK(std::distance(std::filesystem::directory_iterator(root.path()), {}) == 2);
  }

  TEST_CASE("it is written while the server runs, too") {
    const test::TempDir root;
    Door door;
    QuotaFile file = make_file(door, root.path(), 1ms);
    file.job().start();

    CHECK(door.put(7) == 201);

    const SteadyTime end = system_clock().steady_now() + 20s;
    while (!read(root / "token-usage").contains(" ci 7\n") && system_clock().steady_now() < end) {
    }
    CHECK(read(root / "token-usage").contains(" ci 7\n"));
    file.job().stop();
  }

  TEST_CASE("without a use there is no file, and a damaged one counts for nothing") {
    const test::TempDir root;
    Door door;
    QuotaFile file = make_file(door, root.path(), kNever);
    file.job().start();
    file.job().stop();
    CHECK_FALSE(std::filesystem::exists(root / "token-usage"));
    std::ofstream(root / "token-usage") << "polykit-cache token usage 1\n2026-01-01 ci 9";
    QuotaFile next = make_file(door, root.path(), kNever);

    next.sync();
    next.job().start();

    CHECK(door.put(100) == 201);
    next.job().stop();
    CHECK(read(root / "token-usage") == "polykit-cache token usage 1\n2026-01-01 ci 100\n");
  }

  TEST_CASE("two processes: each learns what the other has counted, and nothing counts twice") {
    const test::TempDir root;
    Door first;
    Door second;
    QuotaFile of_first = make_file(first, root.path(), kNever);
    QuotaFile of_second = make_file(second, root.path(), kNever);
    CHECK(first.put(10) == 201);
    of_first.sync();
    of_second.sync();
    CHECK(used(second) == 10);

    CHECK(first.put(20) == 201);
    CHECK(second.put(5) == 201);
    for (int round = 0; round < 3; ++round) {
      of_second.sync();
      of_first.sync();
    }
    of_second.sync();
    CHECK(used(first) == 35);
    CHECK(used(second) == 35);

    std::filesystem::remove(root / "token-usage"); // by somebody who should not
    of_first.sync();
    of_second.sync();
    CHECK(used(second) == 35);
    of_first.sync();
    CHECK(used(first) == 35);
    CHECK(read(root / "token-usage") == "polykit-cache token usage 1\n2026-01-01 ci 35\n");
    CHECK(second.put(66) == 403);
    CHECK(second.put(65) == 201);
    of_second.sync();
    of_first.sync();
    CHECK(first.put(1) == 403);
  }

  TEST_CASE("two processes: the day of the one begins for the other, too") {
    const test::TempDir root;
    Door first;
    Door second;
    QuotaFile of_first = make_file(first, root.path(), kNever);
    QuotaFile of_second = make_file(second, root.path(), kNever);
    CHECK(first.put(90) == 201);
    of_first.sync();
    of_second.sync();
    first.clock.advance(24h);
    second.clock.advance(24h);

    CHECK(first.put(60) == 201);
    CHECK(second.put(30) == 201);
    of_first.sync();
    of_second.sync();
    of_first.sync();

    CHECK(used(first) == 90);
    CHECK(used(second) == 90);
  }

  TEST_CASE("two processes: at once, many times, with a failed upload now and then") {
    const test::TempDir root;
    Door first;
    Door second;
    QuotaFile of_first = make_file(first, root.path(), kNever);
    QuotaFile of_second = make_file(second, root.path(), kNever);
    const auto work = [](Door& door, QuotaFile& file) {
      for (int i = 0; i < 40; ++i) {
        CHECK(door.put(1) == 201);
        CHECK(door.put_in_vain(5, [&] { file.sync(); }) == 400);
        file.sync();
      }
    };
    {
      const std::jthread other([&] { work(first, of_first); });
      work(second, of_second);
    }
    of_first.sync();
    of_second.sync();

    CHECK(used(first) == 80);
    CHECK(used(second) == 80);
  }

  TEST_CASE("a directory that is gone costs nobody an upload") {
    const test::TempDir root;
    Door door;
    QuotaFile file = make_file(door, root / "absent", 1ms);

    file.job().start();

    CHECK(door.put(100) == 201);
    CHECK(door.put(1) == 403);
    file.job().stop();
  }
}

} // namespace
} // namespace pkc::app
