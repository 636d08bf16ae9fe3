// What the doctor makes of facts: tables of machines that are not at hand.
#include "doctor/judgement.hpp"
#include "environment.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>
#include <vector>

namespace pkc::app::test {
namespace {

using std::chrono::hours;

constexpr WallTime kNow = std::chrono::sys_days{std::chrono::year{2027} / 6 / 1};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Whatever is bad has an advice.
void check_advice(const Finding& finding) {
  CAPTURE(finding.text);
  CHECK_FALSE(finding.text.empty());
  CHECK_FALSE(finding.check.empty());
  if (finding.verdict >= Verdict::warning) {
    CHECK_FALSE(finding.advice.empty());
  }
}

TEST_SUITE("app::doctor") {
  TEST_CASE("judge_space: full, smaller than an upload, nearly full, enough") {
    struct Row {
      Room room;
      ByteCount upload_max;
      Verdict verdict;
    };
    for (const Row& row : {Row{{.total = 100 * kGiB, .free = 0}, kGiB, Verdict::problem},
                           Row{{.total = 100 * kGiB, .free = kMiB - 1}, 1, Verdict::problem},
                           Row{{.total = 100 * kGiB, .free = kMiB}, kGiB, Verdict::warning},
                           Row{{.total = 100 * kGiB, .free = kGiB - 1}, kGiB, Verdict::warning},
                           Row{{.total = 10 * kGiB, .free = kGiB}, kGiB, Verdict::ok},
                           Row{{.total = 100 * kGiB, .free = 5 * kGiB - 1}, kGiB, Verdict::warning},
                           Row{{.total = 100 * kGiB, .free = 5 * kGiB}, kGiB, Verdict::ok},
                           Row{{.total = 0, .free = 0}, kGiB, Verdict::ok}}) {
      CAPTURE(row.room.free);
      const Finding finding = judge_space(row.room, row.upload_max);
      CHECK(finding.verdict == row.verdict);
      check_advice(finding);
    }
  }

  TEST_CASE("judge_inodes: none, few, enough, not counted") {
    struct Row {
      Room room;
      Verdict verdict;
    };
    for (const Row& row : {Row{{.total = 1'000'000, .free = 0}, Verdict::problem},
                           Row{{.total = 1'000'000, .free = 3}, Verdict::problem},
                           Row{{.total = 1'000'000, .free = 4}, Verdict::warning},
                           Row{{.total = 1'000'000, .free = 49'999}, Verdict::warning},
                           Row{{.total = 1'000'000, .free = 50'000}, Verdict::ok},
                           Row{{.total = 20'000, .free = 9'999}, Verdict::warning},
                           Row{{.total = 20'000, .free = 10'000}, Verdict::ok},
                           Row{{.total = 0, .free = 0}, Verdict::ok}}) {
      CAPTURE(row.room.free);
      const Finding finding = judge_inodes(row.room);
      CHECK(finding.verdict == row.verdict);
      check_advice(finding);
    }
  }

  TEST_CASE("judge_file_system: network, memory, container and guest folders are warned of") {
    struct Row {
      std::uint64_t magic;
      Verdict verdict;
      std::string words;
    };
    for (const Row& row :
         std::vector<Row>{{0xEF53, Verdict::ok, "ext4"},
                          {0x58465342, Verdict::ok, "xfs"},
                          {0x9123683E, Verdict::ok, "btrfs"},
                          {0x2FC12FC1, Verdict::ok, "zfs"},
                          {0x6969, Verdict::warning, "NFS, a network file system"},
                          {0xFF534D42, Verdict::warning, "CIFS, a network file system"},
                          {0xFE534D42, Verdict::warning, "SMB, a network file system"},
                          {0x65735546, Verdict::warning, "FUSE, a program stands behind it"},
                          {0x794C7630, Verdict::warning, "overlay, the layer of a container"},
                          {0x01021994, Verdict::warning, "tmpfs, it is in memory"},
                          {0x01021997, Verdict::warning, "9p, a folder of another machine"},
                          {0x4D44, Verdict::warning, "FAT, it takes names that differ in case"},
                          {0xABC123, Verdict::note, "not known here, 0xabc123"}}) {
      CAPTURE(row.words);
      const Finding finding = judge_file_system(row.magic);
      CHECK(finding.verdict == row.verdict);
      CHECK(contains(finding.text, row.words));
      check_advice(finding);
    }
  }

  TEST_CASE("judge_descriptors: names the limit that suffices, and it does") {
    const DescriptorFacts few{
        .limit = 1024, .workers_max = 256, .open_files_max = 512, .connections_max = 10'000};

    const Finding finding = judge_descriptors(few);

    CHECK(finding.verdict == Verdict::warning);
    CHECK(contains(finding.text, "1024 files, enough for"));
    const std::string raise = "raise the limit to ";
    REQUIRE(contains(finding.advice, raise));
    const std::string number =
        finding.advice.substr(raise.size(), finding.advice.find(':') - raise.size());
    DescriptorFacts enough = few;
    enough.limit = parse_decimal<std::uint64_t>(number).value_or(0);
    CHECK(judge_descriptors(enough).verdict == Verdict::ok);
    --enough.limit;
    CHECK(judge_descriptors(enough).verdict == Verdict::warning);
  }

  TEST_CASE(
      "judge_descriptors: a server with next to none is a problem, fewer cached files a note") {
    CHECK(judge_descriptors(
              {.limit = 63, .workers_max = 4, .open_files_max = 0, .connections_max = 1})
              .verdict == Verdict::problem);
    CHECK(judge_descriptors(
              {.limit = 1024, .workers_max = 4, .open_files_max = 512, .connections_max = 10})
              .verdict == Verdict::note);
  }

  TEST_CASE("judge_file_size_limit: one below the largest upload would end the server") {
    CHECK(judge_file_size_limit(kGiB - 1, kGiB).verdict == Verdict::problem);
    CHECK(judge_file_size_limit(kGiB, kGiB).verdict == Verdict::ok);
  }

  TEST_CASE("judge_clock: before the program, behind the directory, unsynchronised, right") {
    const WallTime epoch{};
    CHECK(judge_clock({.now = epoch}).verdict == Verdict::warning);
    CHECK(judge_clock({.now = kNow, .last_change = kNow + hours(1)}).verdict == Verdict::warning);
    CHECK(judge_clock({.now = kNow, .last_change = kNow + std::chrono::seconds(1)}).verdict ==
          Verdict::ok);
    CHECK(judge_clock({.now = kNow, .synchronised = false}).verdict == Verdict::note);
    CHECK(judge_clock({.now = kNow, .last_change = kNow - hours(1)}).verdict == Verdict::ok);
  }

  TEST_CASE("judge_file_time: a file server with another clock is told") {
    CHECK_FALSE(judge_file_time(std::chrono::seconds(-1)).has_value());
    const auto behind = judge_file_time(std::chrono::seconds(-600));
    REQUIRE(behind.has_value());
    CHECK(contains(behind->text, "600 seconds behind"));
    const auto ahead = judge_file_time(std::chrono::seconds(600));
    REQUIRE(ahead.has_value());
    CHECK(contains(ahead->text, "600 seconds ahead of"));
  }

  TEST_CASE("judge_address: who has it, and whether that is right") {
    const AddressFacts wanted{.address = "127.0.0.1:80", .port = 80};
    struct Row {
      std::string name;
      AddressFacts facts;
      Verdict verdict;
      std::string words;
    };
    std::vector<Row> rows(8, {"free", wanted, Verdict::ok, "127.0.0.1:80 is free"});
    rows[1] = {"other", wanted, Verdict::problem, "in use by process 7 (nginx)"};
    rows[1].facts.error_number = EADDRINUSE;
    rows[1].facts.owners = {"process 7 (nginx)"};
    rows[2] = {"other beside our server", rows[1].facts, Verdict::problem, "process 7 (nginx)"};
    rows[2].facts.server_runs = true;
    rows[3] = {"our server", rows[2].facts, Verdict::ok, "by the server that runs"};
    rows[3].facts.owned_by_server = true;
    rows[4] = {"hidden", wanted, Verdict::problem, "in use by another program"};
    rows[4].facts.error_number = EADDRINUSE;
    rows[5] = {"hidden beside our server", rows[4].facts, Verdict::ok, "most likely by the server"};
    rows[5].facts.server_runs = true;
    rows[6] = {"privileged", wanted, Verdict::problem, "may not listen on 127.0.0.1:80"};
    rows[6].facts.error_number = EACCES;
    rows[7] = {"root", wanted, Verdict::note, "only root may have it"};
    rows[7].facts.is_root = true;
    for (const Row& row : rows) {
      CAPTURE(row.name);
      const Finding finding = judge_address(row.facts);
      CHECK(finding.verdict == row.verdict);
      CHECK(contains(finding.text, row.words));
      check_advice(finding);
    }
  }

  TEST_CASE("judge_socket_path: a dead server's file is fine, all else in its place is not") {
    using http::SocketPath;
    struct Row {
      SocketPathFacts facts;
      Verdict verdict;
    };
    const auto facts = [](SocketPath state) {
      return SocketPathFacts{.path = "/run/x/s", .state = state};
    };
    std::vector<Row> rows = {{facts(SocketPath::free), Verdict::ok},
                             {facts(SocketPath::stale), Verdict::ok},
                             {facts(SocketPath::foreign), Verdict::problem},
                             {facts(SocketPath::alive), Verdict::problem},
                             {facts(SocketPath::alive), Verdict::ok},
                             {facts(SocketPath::free), Verdict::problem},
                             {facts(SocketPath::free), Verdict::problem}};
    rows[4].facts.server_runs = true;
    rows[5].facts.directory_exists = false;
    rows[6].facts.directory_writable = false;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      CAPTURE(i);
      const Finding finding = judge_socket_path(rows[i].facts);
      CHECK(finding.verdict == rows[i].verdict);
      check_advice(finding);
    }
  }

  TEST_CASE("judge_tls: expired, about to, valid") {
    struct Row {
      hours left;
      Verdict verdict;
    };
    for (const Row& row : {Row{hours(-1), Verdict::problem},
                           Row{hours(1), Verdict::warning},
                           Row{hours(14 * 24 - 1), Verdict::warning},
                           Row{hours(14 * 24), Verdict::ok}}) {
      CAPTURE(row.left.count());
      http::TlsState state;
      state.subject = "CN = cache";
      state.expires = kNow + row.left;
      state.warnings = row.left < hours(0) ? std::vector<std::string>{"the certificate has expired"}
                                           : std::vector<std::string>{"anybody may read the key"};
      const auto findings = judge_tls(state, kNow);
      REQUIRE(findings.size() >= 2);
      CHECK(findings.front().verdict == row.verdict);
      const bool is_expired = row.left < hours(0); // which is told once
      CHECK(findings.size() == (is_expired ? 2 : 3));
    }
    CHECK(judge_tls(fail(Errc::invalid_argument, "cannot use x"), kNow).front().verdict ==
          Verdict::problem);
  }

  TEST_CASE("judge_proxies: what does not go together with the address") {
    CHECK(judge_proxies("unix:/s", {})->verdict == Verdict::note);
    CHECK_FALSE(judge_proxies("unix:/s", {"unix"}).has_value());
    CHECK(judge_proxies("0.0.0.0", {"0.0.0.0/0"})->verdict == Verdict::warning);
    CHECK(judge_proxies("0.0.0.0", {"::/0"})->verdict == Verdict::warning);
    CHECK(judge_proxies("127.0.0.1", {"unix"})->verdict == Verdict::note);
    CHECK_FALSE(judge_proxies("127.0.0.1", {"10.0.0.0/8"}).has_value());
    CHECK_FALSE(judge_proxies("127.0.0.1", {}).has_value());
  }

  TEST_CASE("judge_names: a file system that folds case would serve one key for another") {
    CHECK(judge_names(true).verdict == Verdict::ok);
    CHECK(judge_names(false).verdict == Verdict::problem);
  }

  TEST_CASE("about: sizes for people") {
    CHECK(about(0) == "0 bytes");
    CHECK(about(1023) == "1023 bytes");
    CHECK(about(1024) == "1 KiB");
    CHECK(about(1536) == "1.5 KiB");
    CHECK(about(3 * kGiB + kGiB / 2) == "3.5 GiB");
    CHECK(about(~ByteCount{0}) == "16383.9 PiB");
  }
}

} // namespace
} // namespace pkc::app::test
