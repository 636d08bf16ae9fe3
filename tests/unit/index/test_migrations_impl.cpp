#include "migrations.hpp"
#include "statements.hpp"
#include "support/fake_clock.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/sql.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

using namespace pkc::index;
namespace sql = pkc::sql;
using pkc::Errc;
using pkc::test::FakeClock;
using pkc::test::TempDir;

namespace {

std::unique_ptr<sql::Session> open(const TempDir& directory) {
  auto session = sql::connect({.target = directory / "index.db",
                               .application = kSqliteApplicationId,
                               .lock_timeout = std::chrono::minutes(1)});
  // Several threads come here, and a bad access would not say what was wrong.
  INFO("connect: ", session ? std::string() : session.error().message);
  CHECK(session);
  return std::move(session).value();
}

/// Steps of a program that is some versions ahead.
std::vector<Step> steps_to(std::size_t version) {
  std::vector<Step> steps = schema_steps(sql::dialect(sql::Engine::sqlite));
  const std::size_t known = steps.size();
  for (std::size_t next = known + 1; next <= version; ++next) {
    const std::string number = std::to_string(next);
    steps.push_back({"CREATE TABLE step_" + number + " (id INTEGER) STRICT",
                     "INSERT INTO step_" + number + " VALUES (" + number + ")"});
  }
  steps.resize(version);
  return steps;
}

const sql::Query kSteps{"SELECT count(*), coalesce(max(version), 0) FROM schema_steps",
                        {},
                        {sql::Type::integer, sql::Type::integer}};
const sql::Query kNext{"SELECT count(*) FROM step_4", {}, {sql::Type::integer}};

std::vector<std::int64_t> numbers(sql::Session& session, const sql::Query& query) {
  std::vector<std::int64_t> found;
  REQUIRE(session.each(query, {}, [&](const sql::Row& row) {
    for (std::size_t i = 0; i < query.columns.size(); ++i) {
      found.push_back(row.integer(i));
    }
  }));
  return found;
}

/// What version 2 knew of downloads: two of one space, one of another, an object that is none, and
/// what is left of one whose object is gone.
const Step kOldContent{
    "INSERT INTO spaces (id, name, objects) VALUES (1, 'other', 1), (2, 'fetch', 3), (3, 'no', 0)",
    "INSERT INTO objects (id, space_id, object_key, size, disk_size, stored_at, accessed_at, hits, "
    "pinned, noted_at) VALUES (1, 2, 'a', 1, 1, 5, 5, 3, 0, 5), (2, 2, 'b', 1, 1, 5, 5, 4, 1, 5), "
    "(3, 2, 'c', 1, 1, 5, 5, 100, 0, 5), (4, 1, 'a', 1, 1, 5, 5, 0, 0, 5)",
    "INSERT INTO sources (object_id, space_id, source_url, url_head, content_hash, storage_path, "
    "file_size, content_type, first_cached_at) VALUES (1, 2, 'u1', 'u1', 'h', 'p', 1000, '', 5), "
    "(2, 2, 'u2', 'u2', 'h', 'p', 50, '', 5), (4, 1, 'u1', 'u1', 'h', 'p', 7, '', 5), "
    "(99, 2, 'u3', 'u3', 'h', 'p', 5000, '', 5)"};

const sql::Query kSourceTotals{
    "SELECT space_id, sources, file_size, accesses FROM source_totals ORDER BY space_id",
    {},
    {sql::Type::integer, sql::Type::integer, sql::Type::integer, sql::Type::integer}};

/// How SQLite goes about a statement that takes the name of a space, a line for each table.
std::vector<std::string> plan_of(const TempDir& directory, const sql::Query& query) {
  const auto session = open(directory); // its own: a session knows statements by their addresses
  const sql::Query explain{
      "EXPLAIN QUERY PLAN " + query.text,
      query.parameters,
      {sql::Type::integer, sql::Type::integer, sql::Type::integer, sql::Type::text}};
  std::vector<std::string> lines;
  REQUIRE(session->each(
      explain, {"space"}, [&](const sql::Row& row) { lines.emplace_back(row.text(3)); }));
  return lines;
}

/// All that an engine is told, with its parameters' types.
std::string all_sql(sql::Engine engine) {
  const sql::Dialect& dialect = sql::dialect(engine);
  std::ostringstream out;
  int version = 0;
  for (const Step& step : schema_steps(dialect)) {
    out << "-- step " << ++version << "\n";
    for (const std::string& text : step) {
      out << text << ";\n";
    }
  }
  const Statements statements(dialect);
  for (const auto& [name, query] : statements.all()) {
    out << "-- " << name << "\n" << query->text << ";\n";
  }
  return out.str();
}

} // namespace

TEST_SUITE("index::migrate") {
  TEST_CASE("migrate: from each version to the newest, each step once") {
    constexpr std::size_t kNewest = 5;
    const FakeClock clock;
    for (std::size_t old = 0; old <= kNewest; ++old) {
      CAPTURE(old);
      const TempDir directory;
      REQUIRE(migrate(*open(directory), steps_to(old), clock));
      const auto session = open(directory);
      REQUIRE(migrate(*session, steps_to(kNewest), clock));
      REQUIRE(migrate(*session, steps_to(kNewest), clock));
      CHECK(numbers(*session, kSteps) == std::vector<std::int64_t>{kNewest, kNewest});
      CHECK(numbers(*session, kNext) == std::vector<std::int64_t>{1});
    }
  }

  TEST_CASE("migrate: a newer schema is refused and left alone") {
    const FakeClock clock;
    const TempDir directory;
    const auto session = open(directory);
    REQUIRE(migrate(*session, steps_to(3), clock));
    CHECK(migrate(*session, steps_to(2), clock).error().code == Errc::conflict);
    CHECK(check_version(*session, 2).error().code == Errc::conflict);
    CHECK(check_version(*session, 3));
    CHECK(numbers(*session, kSteps) == std::vector<std::int64_t>{3, 3});
  }

  TEST_CASE("migrate: a step that fails half-way has changed nothing") {
    const FakeClock clock;
    const TempDir directory;
    const auto session = open(directory);
    std::vector<Step> steps = steps_to(4);
    steps[3].emplace_back("INSERT INTO nowhere VALUES (1)");
    CHECK_FALSE(migrate(*session, steps, clock));
    CHECK(numbers(*session, kSteps) == std::vector<std::int64_t>{3, 3});
    CHECK_FALSE(session->prepare(kNext));
    CHECK(migrate(*session, steps_to(4), clock));
  }

  TEST_CASE("migrate: the totals of downloads are those of what version 2 knew") {
    const FakeClock clock;
    const TempDir directory;
    const auto session = open(directory);
    REQUIRE(migrate(*session, steps_to(2), clock));
    for (const std::string& text : kOldContent) {
      REQUIRE(session->execute(text));
    }

    REQUIRE(migrate(*session, steps_to(3), clock));

    CHECK(numbers(*session, kSourceTotals) == std::vector<std::int64_t>{1, 1, 7, 0, 2, 2, 1050, 7});
    // An engine whose statements about tables commit by themselves may come here a second time.
    const std::vector<Step> steps = steps_to(3);
    for (const std::string& text : steps[2]) {
      REQUIRE(session->execute(text));
    }
    CHECK(numbers(*session, kSourceTotals) == std::vector<std::int64_t>{1, 1, 7, 0, 2, 2, 1050, 7});
  }

  TEST_CASE("migrate: several at once take each step once") {
    const FakeClock clock;
    const TempDir directory;
    // Kept open, as the first to come and the last to go change the file for themselves.
    const auto keeper = open(directory);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { CHECK(migrate(*open(directory), steps_to(5), clock)); });
      }
    }
    CHECK(numbers(*open(directory), kSteps) == std::vector<std::int64_t>{5, 5});
    CHECK(numbers(*open(directory), kNext) == std::vector<std::int64_t>{1});
  }
}

TEST_SUITE("index::Statements") {
  TEST_CASE("statements: SQLite understands all of them") {
    const FakeClock clock;
    const TempDir directory;
    const auto session = open(directory);
    REQUIRE(migrate(*session, schema_steps(sql::dialect(sql::Engine::sqlite)), clock));
    const Statements statements(sql::dialect(sql::Engine::sqlite));
    for (const auto& [name, query] : statements.all()) {
      CAPTURE(name);
      CHECK(session->prepare(*query));
    }
  }

  TEST_CASE("statements: totals are looked up, however many objects and sources there are") {
    const FakeClock clock;
    const TempDir directory;
    REQUIRE(migrate(*open(directory), steps_to(3), clock));
    const Statements statements(sql::dialect(sql::Engine::sqlite));
    for (const sql::Query* query : {&statements.totals, &statements.sources.totals}) {
      CAPTURE(query->text);
      const auto plan = plan_of(directory, *query);
      CHECK(!plan.empty());
      for (const std::string& line : plan) {
        CAPTURE(line);
        CHECK_FALSE(line.starts_with("SCAN"));
        // By a column that no two rows share: one row at most.
        const bool one_row = line.starts_with("SEARCH spaces ") && line.ends_with("(name=?)");
        const bool of_totals = line == "SEARCH source_totals USING INTEGER PRIMARY KEY (rowid=?)";
        CHECK((one_row || of_totals || line.starts_with("SCALAR SUBQUERY")));
      }
    }
  }

  TEST_CASE("statements: each parameter has its own name and its type") {
    for (const auto engine : {sql::Engine::sqlite, sql::Engine::postgresql, sql::Engine::mysql}) {
      const Statements statements(sql::dialect(engine));
      for (const auto& [name, query] : statements.all()) {
        CAPTURE(name);
        std::multiset<std::string> names;
        for (std::size_t at = query->text.find(':'); at != std::string::npos;
             at = query->text.find(':', at + 1)) {
          const std::size_t end =
              query->text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at + 1);
          names.insert(query->text.substr(at, end - at));
        }
        CHECK(names.size() == query->parameters.size());
        CHECK(std::set(names.begin(), names.end()).size() == names.size());
      }
    }
  }

  TEST_CASE("statements: the text for each engine is the reviewed one") {
    for (const auto engine : {sql::Engine::sqlite, sql::Engine::postgresql, sql::Engine::mysql}) {
      const std::string path =
          std::string(PKC_GOLDEN_DIR) + "/" + std::string(to_string(engine)) + ".sql";
      const std::string text = all_sql(engine);
      if (std::getenv("PKC_ACCEPT") != nullptr) {
        std::ofstream(path) << text;
      }
      std::ostringstream golden;
      golden << std::ifstream(path).rdbuf();
      CAPTURE(path);
      CHECK(golden.str() == text);
    }
  }
}
