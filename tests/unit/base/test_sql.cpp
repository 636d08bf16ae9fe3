#include "support/temp_dir.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/sql.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using pkc::Errc;
using pkc::system_clock;
using pkc::test::TempDir;
using namespace pkc::sql;

namespace {

const Query kCreate{"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT"};
const Query kInsert{"INSERT INTO t (id, name) VALUES (:id, :name)", {Type::integer, Type::text}};
const Query kSelect{"SELECT id, name FROM t WHERE id >= :least ORDER BY id",
                    {Type::integer},
                    {Type::integer, Type::text}};
const Query kNull{"SELECT max(id), max(name) FROM t", {}, {Type::integer, Type::text}};
const Query kDelete{"DELETE FROM t WHERE id >= :least", {Type::integer}};

Options options(const TempDir& directory, std::chrono::milliseconds lock_timeout = {}) {
  return {.target = directory / "it's a \"file\" = 1.db", .lock_timeout = lock_timeout};
}

std::unique_ptr<Session> open(const Options& wanted) {
  return connect(wanted).value();
}

std::vector<std::string> names(Session& session, std::int64_t least = 0) {
  std::vector<std::string> found;
  REQUIRE(session.each(kSelect, {least}, [&](const Row& row) {
    found.push_back(std::to_string(row.integer(0)) + std::string(row.text(1)));
  }));
  return found;
}

} // namespace

TEST_SUITE("sql::Session") {
  TEST_CASE("run and each: values come back as they were given, whatever the path is called") {
    const TempDir directory;
    const auto session = open(options(directory));
    REQUIRE(session->run(kCreate));

    CHECK(session->run(kInsert, {std::int64_t{7}, "it's :name"}).value() == 1);
    CHECK(session->run(kInsert, {std::int64_t{1} << 40, ""}).value() == 1);

    CHECK(names(*session) == std::vector<std::string>{"7it's :name", "1099511627776"});
    CHECK(names(*open(options(directory)), 8) == std::vector<std::string>{"1099511627776"});
    CHECK(session->run(kDelete, {std::int64_t{0}}).value() == 2);
  }

  TEST_CASE("each: NULL is zero and empty") {
    const TempDir directory;
    const auto session = open(options(directory));
    REQUIRE(session->run(kCreate));
    REQUIRE(session->run(kInsert, {std::int64_t{7}, "seven"}));
    REQUIRE(session->each(kNull, {}, [](const Row& row) { CHECK(row.text(1) == "seven"); }));
    REQUIRE(session->run(kDelete, {std::int64_t{0}}));

    int rows = 0;
    REQUIRE(session->each(kNull, {}, [&](const Row& row) {
      ++rows;
      CHECK(row.integer(0) == 0);
      CHECK(row.text(1).empty());
    }));
    CHECK(rows == 1);
  }

  TEST_CASE("errors: tell a constraint, a missing table, a locked and a damaged database apart") {
    const TempDir directory;
    const auto session = open(options(directory));
    CHECK(session->prepare(kSelect).error().code == Errc::invalid_argument);
    REQUIRE(session->run(kCreate));
    CHECK(session->prepare(kSelect));
    REQUIRE(session->run(kInsert, {std::int64_t{7}, "seven"}));

    const auto twice = session->run(kInsert, {std::int64_t{7}, "secret"});
    CHECK(twice.error().code == Errc::conflict);
    CHECK(twice.error().message.find("secret") == std::string::npos);

    auto other = open(options(directory));
    const auto writing = Txn::begin(*session);
    CHECK(Txn::begin(*other).error().code == Errc::unavailable);

    std::ofstream(directory / "text.db") << std::string(8192, 'x');
    CHECK(connect({.target = directory / "text.db"}).error().code == Errc::corrupt);
    CHECK(connect({.target = directory / "no/folder.db"}).error().code == Errc::io);
    CHECK(connect({.engine = Engine::mysql, .target = "x"}).error().code == Errc::io);
  }

  TEST_CASE("lock_timeout: a writer waits for another that ends in time") {
    const TempDir directory;
    const auto session = open(options(directory));
    REQUIRE(session->run(kCreate));
    auto other = open(options(directory, std::chrono::minutes(1)));
    auto writing = Txn::begin(*session);
    REQUIRE(writing);
    REQUIRE(session->run(kInsert, {std::int64_t{1}, "first"}));
    std::jthread waiter([&] {
      auto second = Txn::begin(*other);
      REQUIRE(second);
      CHECK(names(*other) == std::vector<std::string>{"1first"});
    });

    REQUIRE(writing->commit());
  }
}

TEST_SUITE("sql::Txn") {
  TEST_CASE("destruction: rolls back unless committed") {
    const TempDir directory;
    const auto session = open(options(directory));
    REQUIRE(session->run(kCreate));
    {
      const auto dropped = Txn::begin(*session);
      REQUIRE(session->run(kInsert, {std::int64_t{1}, "dropped"}));
    }
    {
      auto kept = Txn::begin(*session);
      REQUIRE(session->run(kInsert, {std::int64_t{2}, "kept"}));
      REQUIRE(kept->commit());
    }
    CHECK(names(*open(options(directory))) == std::vector<std::string>{"2kept"});
  }

  TEST_CASE("begin: a result that was read does not pin the past") {
    const TempDir directory;
    const auto session = open(options(directory));
    REQUIRE(session->run(kCreate));
    REQUIRE(session->run(kInsert, {std::int64_t{1}, "a"}));
    REQUIRE(names(*session).size() == 1);
    const auto other = open(options(directory));
    REQUIRE(other->run(kInsert, {std::int64_t{2}, "b"}));

    CHECK(names(*session).size() == 2);
    CHECK(Txn::begin(*session)); // from an old snapshot this would fail as busy
  }
}

TEST_SUITE("sql::Pool") {
  TEST_CASE("lease: gives sessions up to its limit, waits for one, and keeps them") {
    const TempDir directory;
    const auto pool = make_pool(system_clock(), options(directory), 2);
    const auto in = [](std::chrono::milliseconds time) {
      return system_clock().steady_now() + time;
    };
    auto first = pool->lease(in(std::chrono::minutes(1)));
    auto second = pool->lease(in(std::chrono::minutes(1)));
    REQUIRE((first && second));
    const Session* const kept = first->get();

    CHECK(pool->lease(in({})).error().code == Errc::unavailable);
    {
      const std::jthread waiter([&] {
        const auto third = pool->lease(in(std::chrono::minutes(1)));
        REQUIRE(third);
        CHECK(third->get() == kept);
      });
      first->reset();
    }
  }

  TEST_CASE("lease: a failed connection takes nobody's place") {
    const TempDir directory;
    const auto pool = make_pool(system_clock(), {.target = directory / "no/file.db"}, 1);
    const auto now = system_clock().steady_now();
    CHECK(pool->lease(now).error().code == Errc::io);
    CHECK(pool->lease(now).error().code == Errc::io);
  }
}

TEST_SUITE("sql::Dialect") {
  TEST_CASE("upsert: each engine has its own words") {
    const Dialect::Upsert row{"facts", {"name"}, {"value", "at"}};
    const Dialect::Upsert names_only{"spaces", {"name"}, {}};

    CHECK(dialect(Engine::sqlite).upsert(row) ==
          "INSERT INTO facts (name, value, at) VALUES (:name, :value, :at) ON CONFLICT (name) DO "
          "UPDATE SET value = excluded.value, at = excluded.at");
    CHECK(dialect(Engine::postgresql).upsert(row) == dialect(Engine::sqlite).upsert(row));
    CHECK(dialect(Engine::mysql).upsert(row) ==
          "INSERT INTO facts (name, value, at) VALUES (:name, :value, :at) ON DUPLICATE KEY UPDATE "
          "value = VALUES(value), at = VALUES(at)");
    CHECK(dialect(Engine::postgresql).upsert(names_only) ==
          "INSERT INTO spaces (name) VALUES (:name) ON CONFLICT (name) DO NOTHING");
    CHECK(dialect(Engine::mysql).upsert(names_only) ==
          "INSERT INTO spaces (name) VALUES (:name) ON DUPLICATE KEY UPDATE name = name");
  }
}
