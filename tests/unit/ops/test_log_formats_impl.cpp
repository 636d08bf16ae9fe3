#include "descriptor_log.hpp"
#include "log_line.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/ops/log.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::ops {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What a file log of these options has written after `write`.
template <typename Write>
std::string written(LogOptions options, const Write& write) {
  const test::TempDir directory;
  const std::string path = directory.path() + "/log";
  {
    auto log = make_file_log(options, path);
    REQUIRE(log);
    write(**log);
  }
  return content_of(path);
}

std::string json_of(std::string_view value) {
  constexpr std::string_view kBefore = R"("level":"info","msg":"m","k":)";
  const std::string line = format_json_log_line(LogLevel::info, "m", {{"k", value}}, "");
  REQUIRE(line.starts_with(kBefore));
  return line.substr(kBefore.size(), line.size() - kBefore.size() - 1);
}

TEST_SUITE("ops::Log formats") {
  TEST_CASE("json: one object a line, numbers as numbers") {
    const std::string text = written({.format = LogFormat::json}, [](Log& log) {
      log.warn("disk is nearly full", {{"free_bytes", 12}, {"path", "/var/cache"}, {"delta", -3}});
    });

    CAPTURE(text);
    CHECK(std::regex_match(
        text,
        std::regex(
            R"(\{"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","level":"warn","msg":"disk is nearly full","free_bytes":12,"path":"/var/cache","delta":-3\}\n)")));
  }

  TEST_CASE("json: strings are valid UTF-8, whatever comes") {
    struct Row {
      std::string value;
      std::string printed;
    };
    const std::vector<Row> rows = {
        {"", R"("")"},
        {R"(say "no" \ yes)", R"("say \"no\" \\ yes")"},
        {"a\nb\tc\r\x01\x1f\x7f", R"("a\nb\u0009c\u000d\u0001\u001f\u007f")"},
        {std::string("\0", 1), R"("\u0000")"},
        {"ä€😀", "\"ä€😀\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xc3(", "\"\xef\xbf\xbd(\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 // overlong '/'
        {"\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // the same
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // a surrogate
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, // too far
        {"\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""},
        {"\xff\xfe", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\x80", "\"\xef\xbf\xbd\""},
    };
    for (const Row& row : rows) {
      CAPTURE(row.printed);
      CHECK(json_of(row.value) == row.printed);
    }
  }

  TEST_CASE("journal: the priority in front, and no time in text") {
    const auto lines = [](Log& log) {
      log.error("e");
      log.warn("w");
      log.info("i");
      log.debug("d");
    };

    CHECK(written({.level = LogLevel::debug, .reader = LogReader::journal}, lines) ==
          "<3>ERROR e\n<4>WARN w\n<6>INFO i\n<7>DEBUG d\n");
    CHECK(written({.format = LogFormat::json, .reader = LogReader::journal}, lines)
              .starts_with("<3>{\"time\":\""));
  }

  TEST_CASE("journal: is who has the other end of standard output, not who once had it") {
    CHECK(stdout_reader("") == LogReader::anybody);
    CHECK(stdout_reader("nonsense") == LogReader::anybody);
    CHECK(stdout_reader("1:1") == LogReader::anybody);
  }

  TEST_CASE("request: stands in every line of its scope and in no other") {
    const auto lines = [](Log& log) {
      log.info("before");
      {
        const RequestScope outer("one");
        log.info("in", {{"k", "v"}});
        {
          const RequestScope inner("two");
          log.info("deeper");
          std::jthread([&log] { log.info("elsewhere"); }).join();
        }
        log.info("back");
      }
      log.info("after");
    };

    CHECK(written({.reader = LogReader::journal}, lines) ==
          "<6>INFO before\n<6>INFO in k=v request_id=one\n<6>INFO deeper request_id=two\n"
          "<6>INFO elsewhere\n<6>INFO back request_id=one\n<6>INFO after\n");
    CHECK(format_json_log_line(LogLevel::info, "m", {}, "one") ==
          R"("level":"info","msg":"m","request_id":"one"})");
  }
}

TEST_SUITE("ops::FileLog") {
  TEST_CASE("make_file_log: appends, and says why it cannot") {
    const test::TempDir directory;
    const std::string path = directory.path() + "/log";
    for (const std::string_view line : {"one", "two"}) {
      auto log = make_file_log({.reader = LogReader::journal}, path);
      REQUIRE(log);
      (*log)->info(line);
    }

    CHECK(content_of(path) == "<6>INFO one\n<6>INFO two\n");
    const auto none = make_file_log({}, directory.path() + "/no/log");
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::io);
    CHECK(none.error().message.contains("/no/log"));
  }

  TEST_CASE("reopen: what was written is in the old file, what follows in the new one") {
    const test::TempDir directory;
    const std::string path = directory.path() + "/log";
    auto log = make_file_log({.reader = LogReader::journal}, path);
    REQUIRE(log);

    (*log)->info("old");
    REQUIRE(posix_file_system().rename(path, path + ".1"));
    REQUIRE((*log)->reopen());
    CHECK(content_of(path + ".1") == "<6>INFO old\n");
    (*log)->info("new");
    (*log)->flush();

    CHECK(content_of(path) == "<6>INFO new\n");
    CHECK(content_of(path + ".1") == "<6>INFO old\n");
  }

  TEST_CASE("reopen: that fails leaves everything as it is") {
    const test::TempDir directory;
    const std::string folder = directory.path() + "/logs";
    REQUIRE(posix_file_system().make_directory(folder));
    auto log = make_file_log({.reader = LogReader::journal}, folder + "/log");
    REQUIRE(log);
    REQUIRE(posix_file_system().rename(folder, directory.path() + "/moved"));

    CHECK_FALSE((*log)->reopen());
    (*log)->error("still here");

    CHECK(content_of(directory.path() + "/moved/log") == "<3>ERROR still here\n");
  }

  TEST_CASE("reopen: under load no line gets lost, torn or written twice") {
    constexpr int kThreads = 4;
    constexpr int kLines = 5'000;
    const test::TempDir directory;
    const std::string path = directory.path() + "/log";
    int rotations = 0;
    {
      auto log = make_file_log({.reader = LogReader::journal}, path);
      REQUIRE(log);
      std::atomic<int> writing = kThreads;
      std::vector<std::jthread> writers;
      for (int thread = 0; thread < kThreads; ++thread) {
        writers.emplace_back([&, thread] {
          for (int line = 0; line < kLines; ++line) {
            (*log)->info("x", {{"thread", thread}, {"line", line}});
          }
          --writing;
        });
      }
      while (writing > 0) {
        REQUIRE(posix_file_system().rename(path, path + '.' + std::to_string(rotations++)));
        REQUIRE((*log)->reopen());
      }
    }

    std::string all;
    for (int i = 0; i < rotations; ++i) {
      all += content_of(path + '.' + std::to_string(i));
    }
    all += content_of(path);
    std::vector<int> next(kThreads, 0); // each thread's lines are in order, so each is there once
    std::istringstream lines(all);
    const std::regex form(R"(<6>INFO x thread=(\d) line=(\d+))");
    int count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
      std::smatch match;
      REQUIRE(std::regex_match(line, match, form));
      int& expected = next.at(static_cast<std::size_t>(match[1].str().front() - '0'));
      REQUIRE(match[2].str() == std::to_string(expected++));
    }
    CHECK(count == kThreads * kLines);
    CHECK(rotations > 0);
  }
}

} // namespace
} // namespace pkc::ops
