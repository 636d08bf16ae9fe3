// kill -9 of a process that writes the index or migrates its schema. What is there afterwards is
// whole, and holds all that was flushed.
#include "migrations.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using namespace pkc::index;
namespace sql = pkc::sql;
using pkc::system_clock;
using pkc::test::TempDir;

namespace {

/// A process that says how far it came, one byte a step, and is killed some time after its first.
class Victim {
 public:
  using Say = std::function<void()>;
  explicit Victim(const std::function<void(const Say&)>& work) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    child_ = ::fork();
    REQUIRE(child_ >= 0);
    if (child_ == 0) {
      ::close(ends[0]);
      work([&] {
        if (::write(ends[1], "x", 1) != 1) {
          ::_exit(1);
        }
      });
      ::_exit(0);
    }
    ::close(ends[1]);
    pipe_ = ends[0];
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  Victim(Victim&&) = delete;
  Victim& operator=(Victim&&) = delete;
  ~Victim() { ::close(pipe_); }

  /// Returns how many steps it had come.
  std::size_t kill_after(std::chrono::microseconds delay) {
    std::size_t steps = read_some();
    std::this_thread::sleep_for(delay); // which instant that is does not matter
    ::kill(child_, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(child_, &status, 0) == child_);
    for (std::size_t more = read_some(); more > 0; more = read_some()) {
      steps += more;
    }
    return steps;
  }

 private:
  [[nodiscard]] std::size_t read_some() const {
    std::array<char, 256> bytes{};
    const ssize_t count = ::read(pipe_, bytes.data(), bytes.size());
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  pid_t child_ = 0;
  int pipe_ = -1;
};

std::unique_ptr<Index> open(const TempDir& directory, pkc::ops::Metrics& metrics) {
  return make_sql_index(system_clock(),
                        pkc::ops::null_log(),
                        metrics,
                        {.path = directory / "index.db",
                         .process = ::getpid(),
                         .flush_interval = std::chrono::hours(1),
                         .query_timeout = std::chrono::minutes(1)})
      .value();
}

constexpr int kPerStep = 200;

constexpr pkc::ByteCount kFileSize = 3;

/// Stores records of downloads, reads and removes them; after step n, the keys of n are there, each
/// read once, and those of n - 1 are half gone.
void write_for_ever(const TempDir& directory, const Victim::Say& say) {
  pkc::ops::Metrics metrics;
  const auto index = open(directory, metrics);
  static_cast<void>(index->mark_complete(index->state()));
  for (int step = 0;; ++step) {
    for (int i = 0; i < kPerStep; ++i) {
      const std::string key = std::to_string(step) + "-" + std::to_string(i);
      index->note_stored("space", key, 10, 20);
      index->note_source("space",
                         key,
                         {.source_url = "http://a.example/" + key,
                          .content_hash = "aa",
                          .storage_path = "path",
                          .file_size = kFileSize,
                          .content_type = ""});
      index->note_read("space", key);
      if (step > 0 && i % 2 == 0) {
        index->note_removed("space", std::to_string(step - 1) + "-" + std::to_string(i));
      }
    }
    if (!index->flush()) {
      ::_exit(1);
    }
    say();
  }
}

constexpr std::size_t kSteps = 60;

std::vector<Step> many_steps() {
  std::vector<Step> steps = schema_steps(sql::dialect(sql::Engine::sqlite));
  while (steps.size() < kSteps) {
    const std::string name = "step_" + std::to_string(steps.size() + 1);
    steps.push_back(
        {"CREATE TABLE " + name + " (id INTEGER) STRICT", "INSERT INTO " + name + " VALUES (1)"});
  }
  return steps;
}

std::unique_ptr<sql::Session> connect(const TempDir& directory) {
  return sql::connect({.target = directory / "index.db", .application = kSqliteApplicationId})
      .value();
}

} // namespace

TEST_SUITE("fault::index") {
  TEST_CASE("kill -9 while writing: all that was flushed is there, and the totals are right") {
    const std::uint64_t seed = std::random_device()();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 15; ++round) {
      const TempDir directory;
      Victim victim([&](const Victim::Say& say) { write_for_ever(directory, say); });
      const std::chrono::microseconds delay(std::uniform_int_distribution<int>(0, 60'000)(random));

      const std::size_t steps = victim.kill_after(delay);

      REQUIRE(steps > 0);
      pkc::ops::Metrics metrics;
      const auto index = open(directory, metrics);
      CHECK(index->check().value().empty());
      CHECK_FALSE(index->state().complete);
      CHECK(index->state().since.has_value());
      const std::uint64_t flushed = (steps - 1) * kPerStep / 2 + kPerStep;
      const std::uint64_t found = index->totals("space").value().objects;
      // The transaction after the last word of the victim may be there as well.
      CHECK((found == flushed || found == flushed + kPerStep / 2));
      CHECK(index->source_totals("space").value() ==
            SourceTotals{.sources = found, .file_size = found * kFileSize, .accesses = found});
    }
  }

  TEST_CASE("kill -9 while migrating: every step is there as a whole or not at all") {
    const std::uint64_t seed = std::random_device()();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const std::vector<Step> steps = many_steps();
    for (int round = 0; round < 15; ++round) {
      const TempDir directory;
      Victim victim([&](const Victim::Say& say) {
        const auto session = connect(directory);
        say();
        static_cast<void>(migrate(*session, steps, system_clock()));
      });
      victim.kill_after(
          std::chrono::microseconds(std::uniform_int_distribution<int>(0, 30'000)(random)));

      const auto session = connect(directory);
      REQUIRE(migrate(*session, steps, system_clock()));
      CHECK(check_version(*session, kSteps));
      const std::size_t known = schema_steps(sql::dialect(sql::Engine::sqlite)).size();
      for (std::size_t step = known + 1; step <= kSteps; ++step) {
        const sql::Query count{
            "SELECT count(*) FROM step_" + std::to_string(step), {}, {sql::Type::integer}};
        std::int64_t rows = 0;
        REQUIRE(session->each(count, {}, [&](const sql::Row& row) { rows = row.integer(0); }));
        CHECK(rows == 1);
      }
    }
  }
}
