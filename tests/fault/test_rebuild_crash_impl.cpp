// `index rebuild` and the migration of the schema, when any one system call of theirs fails or is
// the last of the process: also those of SQLite, which does its own I/O. Afterwards every object is
// there and served, and the index is right, or the next rebuild makes it so.
#include "migrations.hpp"
#include "support/call_faults.hpp"
#include "support/fake_clock.hpp"
#include "support/store_fixture.hpp"
#include "support/temp_dir.hpp"

#include "pkc/app/administration.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/room.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

using namespace pkc::index;
namespace sql = pkc::sql;
using pkc::system_clock;
using pkc::store::disk_size_of;
using pkc::store::Key;
using pkc::test::CallFault;
using pkc::test::make_key;
using pkc::test::StoreFixture;
using pkc::test::TempDir;

namespace {

constexpr std::array kFaults = {
    CallFault::kill, CallFault::torn, CallFault::io_error, CallFault::no_space};
const std::string kSpace = "polykit";
const std::vector<Key> kKeys = {make_key('a'), make_key('a', "1"), make_key('b'), make_key('c')};

std::string content_of(const Key& key) {
  return "content of " + key.id();
}

/// How a process ended.
struct End {
  bool done = false; ///< it said that its work was
  bool met = true;   ///< it came to the call
};

/// Runs `work` in a process of its own, with a fault. REQUIRES: no other thread runs here.
End run_with(CallFault fault, std::uint64_t n, const std::function<bool()>& work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, STDERR_FILENO);
    pkc::test::arm_call_fault(fault, n);
    const bool done = work();
    ::_exit((done ? 0 : 1) + (pkc::test::disarm_call_fault() > n ? 0 : 2));
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) {
    REQUIRE(WTERMSIG(status) == SIGKILL);
    return {};
  }
  const int code = WEXITSTATUS(status);
  REQUIRE(code < 4);
  return {.done = code % 2 == 0, .met = code < 2};
}

pkc::Result<std::unique_ptr<Index>> try_open_index(const std::string& root,
                                                   pkc::ops::Metrics& metrics) {
  return make_sql_index(
      system_clock(),
      pkc::ops::null_log(),
      metrics,
      {.path = root + "/index.db", .process = ::getpid(), .broken = Broken::kept});
}

std::unique_ptr<Index> open_index(const std::string& root, pkc::ops::Metrics& metrics) {
  return try_open_index(root, metrics).value();
}

/// A store, and an index that is not complete: it knows half of it, one object in a wrong size and
/// one that never was.
void prepare(const std::string& root) {
  StoreFixture fixture(pkc::posix_file_system(), root);
  REQUIRE(fixture.start());
  for (const Key& key : kKeys) {
    REQUIRE(fixture.put(key, content_of(key)));
  }
  pkc::ops::Metrics metrics;
  const auto index = open_index(root, metrics);
  const std::size_t size = content_of(kKeys[0]).size();
  index->note_stored(kSpace, kKeys[0].id(), size, disk_size_of(size));
  index->note_stored(kSpace, kKeys[1].id(), 5, disk_size_of(5));
  index->note_stored(kSpace, make_key('d').id(), 5, disk_size_of(5));
  for (const Key& key : {kKeys[0], kKeys[1]}) {
    REQUIRE(index->set_pinned(kSpace, key.id(), Pinned::yes).value());
  }
}

enum class Pins : std::uint8_t {
  none,
  kept,
  perhaps,
};

/// The rows say what the files are.
void check_rows(Index& index, Pins pins) {
  CHECK(index.check().value().empty());
  const auto rows = index.with_prefix(kSpace, "").value();
  REQUIRE(rows.size() == kKeys.size());
  for (const Key& key : kKeys) {
    const auto row = index.find(kSpace, key.id()).value();
    REQUIRE(row);
    CHECK(row->size == content_of(key).size());
    CHECK(row->disk_size == disk_size_of(row->size));
    const bool was_pinned = key == kKeys[0] || key == kKeys[1];
    if (pins != Pins::perhaps) {
      CHECK(row->pinned == (pins == Pins::kept && was_pinned));
    }
  }
}

/// An index that says of itself that it knows everything does, and so does one of a rebuild that
/// said that it was done, unless damage showed at its very end.
void check_belief(const std::string& root, const End& end) {
  const bool replaced = std::filesystem::exists(root + "/index.db.broken-1");
  if (!std::filesystem::exists(root + "/index.db")) {
    CHECK((!end.done || replaced));
    return;
  }
  pkc::ops::Metrics metrics;
  const auto index = open_index(root, metrics);
  const bool readable = index->flush().has_value();
  if ((readable && index->state().complete) || (end.done && !replaced)) {
    check_rows(*index, Pins::perhaps);
  }
}

void check_index(const std::string& root, Pins pins) {
  pkc::ops::Metrics metrics;
  const auto index = open_index(root, metrics);
  REQUIRE(index->flush());
  CHECK(index->state().complete);
  check_rows(*index, pins);
}

void check_objects(const std::string& root) {
  StoreFixture fixture(pkc::posix_file_system(), root);
  REQUIRE(fixture.start());
  for (const Key& key : kKeys) {
    CHECK(fixture.get(key).value() == content_of(key));
  }
}

bool rebuild(const std::string& root) {
  pkc::config::Settings settings = pkc::config::default_settings();
  settings.storage_dir = root;
  return pkc::app::rebuild_index(settings, [](const auto& /*progress*/) {}).has_value();
}

/// From a store that was prepared, or one whose index is gone. Each `stride`-th call.
void check_rebuild(CallFault fault, Pins pins, std::uint64_t stride) {
  const TempDir directory;
  const std::string origin = directory / "origin";
  prepare(origin);
  if (pins == Pins::none) {
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(origin + "/index.db" + suffix);
    }
  }
  std::uint64_t n = 0;
  for (bool met = true; met; n += stride) {
    CAPTURE(n);
    const std::string root = directory / "root";
    std::filesystem::copy(origin, root, std::filesystem::copy_options::recursive);

    const End end = run_with(fault, n, [&] { return rebuild(root); });

    met = end.met;
    CHECK((end.done || met));
    check_objects(root);
    check_belief(root, end);
    REQUIRE(rebuild(root));
    // What cannot be read is damage to SQLite, and such a database is kept beside a new one.
    const bool replaced = std::filesystem::exists(root + "/index.db.broken-1");
    CHECK((!replaced || fault == CallFault::io_error));
    check_index(root, replaced ? Pins::perhaps : pins);
    std::filesystem::remove_all(root);
  }
  CHECK(n > 50);
}

/// Downloads that come again, are read, change and go, in one transaction after what was there.
bool note_downloads(const std::string& root) {
  pkc::ops::Metrics metrics;
  const auto opened = try_open_index(root, metrics);
  if (!opened) {
    return false;
  }
  Index* const index = opened->get();
  for (const char* key : {"a", "b", "c", "d"}) {
    index->note_stored(kSpace, key, 10, 20);
    index->note_source(kSpace,
                       key,
                       {.source_url = std::string("http://a.example/") + key,
                        .content_hash = "aa",
                        .storage_path = "path",
                        .file_size = 7,
                        .content_type = ""});
    index->note_read(kSpace, key);
  }
  index->note_removed(kSpace, "d");
  return index->flush().has_value();
}

SourceTotals sum_of_downloads(Index& index) {
  SourceTotals sums;
  const auto page = index.list_sources({.space = kSpace}).value();
  for (const SourceRow& row : page.sources) {
    sums = {.sources = sums.sources + 1,
            .file_size = sums.file_size + row.source.file_size,
            .accesses = sums.accesses + row.access_count};
  }
  return sums;
}

constexpr std::size_t kSteps = 5;

std::vector<Step> many_steps() {
  std::vector<Step> steps = schema_steps(sql::dialect(sql::Engine::sqlite));
  while (steps.size() < kSteps) {
    const std::string name = "step_" + std::to_string(steps.size() + 1);
    steps.push_back({"CREATE TABLE " + name + " (id INTEGER) STRICT",
                     "INSERT INTO " + name + " SELECT id FROM objects"});
  }
  return steps;
}

bool migrate_all(const std::string& path) {
  const auto session = sql::connect({.target = path, .application = kSqliteApplicationId});
  return session && migrate(**session, many_steps(), system_clock()).has_value();
}

/// Each step is there as a whole, once.
void check_migrated(const std::string& path, std::int64_t objects) {
  const auto session = sql::connect({.target = path, .application = kSqliteApplicationId}).value();
  CHECK(check_version(*session, kSteps));
  const std::size_t own = schema_steps(sql::dialect(sql::Engine::sqlite)).size();
  REQUIRE(own < kSteps);
  for (std::size_t step = own + 1; step <= kSteps; ++step) {
    const sql::Query count{
        "SELECT count(*) FROM step_" + std::to_string(step), {}, {sql::Type::integer}};
    std::int64_t rows = -1;
    REQUIRE(session->each(count, {}, [&](const sql::Row& row) { rows = row.integer(0); }));
    CHECK(rows == objects);
  }
}

} // namespace

TEST_SUITE("fault::rebuild") {
  TEST_CASE("the index is rebuilt: whatever call fails or is the last, nothing is lost") {
    for (const CallFault fault : kFaults) {
      CAPTURE(static_cast<int>(fault));
      check_rebuild(fault, Pins::kept, fault == CallFault::kill ? 1 : 2);
    }
  }

  TEST_CASE("the index is made from nothing: the same") {
    for (const CallFault fault : kFaults) {
      CAPTURE(static_cast<int>(fault));
      check_rebuild(fault, Pins::none, fault == CallFault::kill ? 2 : 5);
    }
  }

  TEST_CASE("downloads are noted: whatever call fails or is the last, their totals are the sums") {
    for (const CallFault fault : kFaults) {
      CAPTURE(static_cast<int>(fault));
      const TempDir directory;
      const std::string origin = directory / "origin";
      std::filesystem::create_directory(origin);
      REQUIRE(note_downloads(origin));
      std::uint64_t n = 0;
      for (bool met = true; met; ++n) {
        CAPTURE(n);
        const std::string root = directory / "root";
        std::filesystem::copy(origin, root, std::filesystem::copy_options::recursive);

        const End end = run_with(fault, n, [&] { return note_downloads(root); });

        met = end.met;
        {
          pkc::ops::Metrics metrics;
          const auto index = open_index(root, metrics);
          REQUIRE(index->flush());
          CHECK(index->check().value().empty());
          const SourceTotals totals = index->source_totals(kSpace).value();
          CHECK(totals == sum_of_downloads(*index));
          CHECK(totals.sources == 3);
          CHECK(totals.file_size == 21);
          CHECK((totals.accesses == 3 || totals.accesses == 6));
          CHECK((!end.done || totals.accesses == 6));
        }
        std::filesystem::remove_all(root);
      }
      CHECK(n > 20);
    }
  }

  TEST_CASE("the schema is migrated: whatever call fails or is the last, the next try ends it") {
    for (const CallFault fault : kFaults) {
      CAPTURE(static_cast<int>(fault));
      const TempDir directory;
      const std::string origin = directory / "origin";
      prepare(origin);
      std::uint64_t n = 0;
      for (bool met = true; met; ++n) {
        CAPTURE(n);
        const std::string root = directory / "root";
        const std::string path = root + "/index.db";
        std::filesystem::copy(origin, root, std::filesystem::copy_options::recursive);

        const End end = run_with(fault, n, [&] { return migrate_all(path); });

        met = end.met;
        if (end.done) {
          check_migrated(path, 3);
        }
        REQUIRE(migrate_all(path));
        check_migrated(path, 3);
        check_objects(root);
        std::filesystem::remove_all(root);
      }
      CHECK(n > 20);
    }
  }
}
