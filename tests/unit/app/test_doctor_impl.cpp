// How the doctor looks: what /proc says, and checks that hang.
#include "doctor/bounded.hpp"
#include "doctor/processes.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/file_system.hpp"

#include <doctest/doctest.h>

#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

namespace pkc::app::test {
namespace {

using namespace std::chrono_literals;

struct Ran {
  std::vector<Finding> findings;
  Facts facts;
};

Ran run(std::chrono::milliseconds patience, const Check& check) {
  Ran ran;
  run_bounded(
      "subject", patience, check, [&](const Finding& f) { ran.findings.push_back(f); }, ran.facts);
  return ran;
}

TEST_SUITE("app::run_bounded") {
  TEST_CASE("run: findings and facts come through as they are") {
    const std::string large(100'000, 'x');

    const Ran ran = run(60s, [&](const FindingSink& sink, Facts& facts) {
      sink({Verdict::warning, "a", "b\nc", "d"});
      sink({Verdict::ok, "e", large, ""});
      facts.server = RunningServer{4711};
    });

    REQUIRE(ran.findings.size() == 2);
    CHECK(ran.findings[0].verdict == Verdict::warning);
    CHECK(ran.findings[0].check == "a");
    CHECK(ran.findings[0].text == "b\nc");
    CHECK(ran.findings[0].advice == "d");
    CHECK(ran.findings[1].text == large);
    CHECK(ran.findings[1].advice.empty());
    REQUIRE(ran.facts.server.has_value());
    CHECK(ran.facts.server->process == 4711);
  }

  TEST_CASE("run: a check that hangs is given up, and what it has found is kept") {
    const Ran ran = run(50ms, [](const FindingSink& sink, Facts& facts) {
      sink({Verdict::ok, "a", "b", ""});
      facts.server = RunningServer{1};
      while (true) {
        ::pause();
      }
    });

    REQUIRE(ran.findings.size() == 2);
    CHECK(ran.findings[0].text == "b");
    CHECK(ran.findings[1].verdict == Verdict::problem);
    CHECK(ran.findings[1].check == "subject");
    CHECK(ran.findings[1].text.starts_with("no answer for 50ms"));
    CHECK_FALSE(ran.facts.server.has_value());
  }

  TEST_CASE("run: a check that dies is a problem") {
    const Ran ran = run(
        60s, [](const FindingSink& /*sink*/, Facts& /*facts*/) { ::kill(::getpid(), SIGKILL); });

    REQUIRE(ran.findings.size() == 1);
    CHECK(ran.findings[0].verdict == Verdict::problem);
    CHECK(ran.findings[0].text == "the check ended before it was done");
  }
}

TEST_SUITE("app::flock_holder") {
  constexpr std::string_view kLocks =
      "1: FLOCK  ADVISORY  WRITE 11 08:01:100 0 EOF\n"
      "2: POSIX  ADVISORY  WRITE 12 08:01:200 0 EOF\n"
      "3: FLOCK  ADVISORY  WRITE 13 fe:10:300 0 EOF\n"
      "3: -> FLOCK  ADVISORY  WRITE 14 fe:10:400 0 EOF\n"
      "4: FLOCK  MSNFS     READ  15 00:2a:500 0 EOF\n"
      "5: FLOCK\n";

  TEST_CASE("holder: device, inode and kind of lock decide") {
    struct Row {
      LockedFile file;
      std::optional<pid_t> holder;
    };
    for (const Row& row : {Row{{8, 1, 100}, 11},
                           Row{{8, 2, 100}, std::nullopt},
                           Row{{8, 1, 200}, std::nullopt}, // of another kind
                           Row{{0xFE, 0x10, 300}, 13},
                           Row{{0xFE, 0x10, 400}, std::nullopt}, // waits
                           Row{{0, 0x2A, 500}, 15}}) {
      CAPTURE(row.file.inode);
      CHECK(flock_holder(kLocks, row.file) == row.holder);
    }
  }

  TEST_CASE("find_server: sees a lock, and does not mind a file that nobody holds") {
    const pkc::test::TempDir directory;
    const std::string root = directory / "root";
    REQUIRE(posix_file_system().make_directory(root).has_value());
    CHECK_FALSE(find_server(root).has_value());
    std::ofstream(root + "/lock") << "";
    CHECK_FALSE(find_server(root).has_value());
    {
      const auto lock = posix_file_system().try_lock(root + "/lock");
      REQUIRE(lock.has_value());
      REQUIRE(*lock != nullptr);

      const auto server = find_server(root);

      REQUIRE(server.has_value());
      CHECK(server->process == ::getpid());
    }
    CHECK_FALSE(find_server(root).has_value());
  }

  TEST_CASE("find_server: leaves the lock for a server that starts") {
    const pkc::test::TempDir directory;
    const std::string path = directory / "lock";
    std::ofstream(path) << "";
    const std::string root = path.substr(0, path.rfind('/'));
    static_cast<void>(find_server(root));

    const auto lock = posix_file_system().try_lock(path);

    REQUIRE(lock.has_value());
    CHECK(*lock != nullptr);
  }
}

TEST_SUITE("app::listening_sockets") {
  TEST_CASE("sockets: those that listen on the port") {
    constexpr std::string_view kTable =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout "
        "inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        "
        "0 "
        "111 1 0000000000000000 100 0 0 10 0\n"
        "   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        "
        "0 "
        "222 1 0000000000000000 20 4 30 10 -1\n"
        "   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        "
        "0 "
        "333 1 0000000000000000 100 0 0 10 0\n";

    CHECK(listening_sockets(kTable, 8080) == std::set<std::uint64_t>{111});
    CHECK(listening_sockets(kTable, 8081) == std::set<std::uint64_t>{333});
    CHECK(listening_sockets(kTable, 80).empty());
    CHECK(listening_sockets("", 80).empty());
  }
}

} // namespace
} // namespace pkc::app::test
