#include "descriptor_log.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/ops/log.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <regex>
#include <string>
#include <thread>
#include <vector>

namespace pkc::ops {
namespace {

/// A log into a pipe, and its other end.
class PipedLog {
 public:
  explicit PipedLog(LogLevel level) : PipedLog(LogOptions{.level = level}) {}
  explicit PipedLog(const LogOptions& options) {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    reader_.reset(ends[0]);
    writer_.reset(ends[1]);
    log_ = make_descriptor_log(options, writer_.get());
  }

  [[nodiscard]] Log& log() { return *log_; }

  /// Waits for output and returns what one read gives; empty after five seconds of silence.
  [[nodiscard]] std::string read_some() {
    pollfd readable{.fd = reader_.get(), .events = POLLIN, .revents = 0};
    if (poll(&readable, 1, 5000) != 1) {
      return "";
    }
    std::array<char, 4096> buffer{};
    const ssize_t count = read(reader_.get(), buffer.data(), buffer.size());
    return count > 0 ? std::string(buffer.data(), static_cast<std::size_t>(count)) : std::string();
  }

  /// Ends the log and returns everything not yet read. Only for output that fits into a pipe.
  [[nodiscard]] std::string close_and_read() {
    log_.reset();
    writer_.reset();
    std::string all;
    for (std::string piece = read_some(); !piece.empty(); piece = read_some()) {
      all += piece;
    }
    return all;
  }

  /// Ends the log while another thread reads.
  void close() {
    log_.reset();
    writer_.reset();
  }

 private:
  UniqueFd reader_;
  UniqueFd writer_;
  std::unique_ptr<Log> log_;
};

/// The one line that was logged, without its time and newline.
std::string line_of(std::string_view message, std::initializer_list<Field> fields) {
  PipedLog piped(LogLevel::trace);
  piped.log().info(message, fields);
  std::string line = piped.close_and_read();
  REQUIRE(line.size() > 26);
  REQUIRE(line.back() == '\n');
  line.pop_back();
  return line.substr(25);
}

TEST_SUITE("ops::Log") {
  TEST_CASE("write: a line is UTC time with milliseconds, level, message, fields") {
    PipedLog piped(LogLevel::info);

    piped.log().warn("disk is nearly full", {{"free_bytes", 12}, {"path", "/var/cache"}});

    const std::regex expected(
        R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARN disk is nearly full free_bytes=12 path=/var/cache\n)");
    const std::string text = piped.close_and_read();
    CAPTURE(text);
    CHECK(std::regex_match(text, expected));
  }

  TEST_CASE("write: values are quoted and escaped when they need it") {
    struct Row {
      std::string value;
      std::string printed;
    };
    const std::vector<Row> rows = {
        {"plain", "plain"},
        {"/v1/artifacts/00ff?x", "/v1/artifacts/00ff?x"},
        {"", R"("")"},
        {"two words", R"("two words")"},
        {"a=b", R"("a=b")"},
        {R"(say "no")", R"("say \"no\"")"},
        {R"(back\slash)", R"("back\\slash")"},
        {"x\ny\rz\t", R"("x\ny\rz\t")"},
        {"\x1b[31m", R"("\x1b[31m")"},
        {std::string("\0", 1), R"("\x00")"},
        {"\x7f", R"("\x7f")"},
        {"\xc2\x9b", R"("\xc2\x9b")"},
    };

    for (const Row& row : rows) {
      CHECK(line_of("m", {{"k", row.value}}) == "INFO m k=" + row.printed);
    }
  }

  TEST_CASE("write: neither a value nor a message can begin a line of its own") {
    CHECK(line_of("a\n2026-01-01T00:00:00.000Z ERROR forged", {{"k", "v\nERROR forged"}}) ==
          R"(INFO a\n2026-01-01T00:00:00.000Z ERROR forged k="v\nERROR forged")");
  }

  TEST_CASE("write: lines below the level are dropped") {
    PipedLog piped(LogLevel::warn);

    piped.log().info("unseen");
    piped.log().debug("unseen");

    CHECK(piped.close_and_read().empty());
  }

  TEST_CASE("enabled: agrees with what is written") {
    PipedLog piped(LogLevel::info);

    CHECK_FALSE(piped.log().enabled(LogLevel::trace));
    CHECK_FALSE(piped.log().enabled(LogLevel::debug));
    CHECK(piped.log().enabled(LogLevel::info));
    CHECK(piped.log().enabled(LogLevel::error));
  }

  TEST_CASE("write: warnings come out at once, with the lines before them") {
    PipedLog piped(LogLevel::info);

    piped.log().info("first");
    piped.log().error("second");

    const std::string text = piped.read_some();
    CHECK(text.find("INFO first\n") < text.find("ERROR second\n"));
    CHECK(text.ends_with("ERROR second\n"));
  }

  TEST_CASE("write: a lonely line comes out without anybody's help") {
    PipedLog piped(LogLevel::info);

    piped.log().info("lonely");

    CHECK(piped.read_some().ends_with("INFO lonely\n"));
  }

  TEST_CASE("flush: pushes what waits") {
    PipedLog piped(LogLevel::info);
    piped.log().info("waiting");

    piped.log().flush();

    CHECK(piped.read_some().ends_with("INFO waiting\n"));
  }

  TEST_CASE("write: lines of many threads are all there, whole") {
    constexpr std::ptrdiff_t kThreads = 4;
    constexpr std::ptrdiff_t kLines = 5000;
    PipedLog piped(LogLevel::info);
    std::string all;
    std::jthread reader([&] {
      while (std::count(all.begin(), all.end(), '\n') < kThreads * kLines) {
        const std::string piece = piped.read_some();
        if (piece.empty()) {
          return;
        }
        all += piece;
      }
    });

    {
      std::vector<std::jthread> writers;
      writers.reserve(kThreads);
      for (std::ptrdiff_t thread = 0; thread < kThreads; ++thread) {
        writers.emplace_back([&, thread] {
          for (std::ptrdiff_t line = 0; line < kLines; ++line) {
            piped.log().info("request", {{"thread", thread}, {"line", line}});
          }
        });
      }
    }
    piped.close();
    reader.join();

    CHECK(std::count(all.begin(), all.end(), '\n') == kThreads * kLines);
    for (std::ptrdiff_t thread = 0; thread < kThreads; ++thread) {
      const std::string last = "INFO request thread=" + std::to_string(thread) +
                               " line=" + std::to_string(kLines - 1) + "\n";
      CHECK(all.find(last) != std::string::npos);
    }
  }

  TEST_CASE("write: an output that is gone is not an error") {
    // A full disk: every write fails with ENOSPC. (A closed pipe would raise SIGPIPE here, which
    // the server ignores and this test does not.)
    const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
    REQUIRE(full);

    const auto log = make_descriptor_log({.level = LogLevel::info}, full.get());
    log->error("lost");
    log->flush();

    CHECK(log->enabled(LogLevel::error));
  }

  TEST_CASE("parse_log_level: the five names and nothing else") {
    CHECK(parse_log_level("trace") == LogLevel::trace);
    CHECK(parse_log_level("debug") == LogLevel::debug);
    CHECK(parse_log_level("info") == LogLevel::info);
    CHECK(parse_log_level("warn") == LogLevel::warn);
    CHECK(parse_log_level("error") == LogLevel::error);
    for (const std::string_view text : {"", "INFO", "warning", "err", "information"}) {
      CHECK_FALSE(parse_log_level(text).has_value());
    }
  }

  TEST_CASE("null_log: drops everything") {
    CHECK_FALSE(null_log().enabled(LogLevel::error));
    null_log().error("dropped");
  }
}

} // namespace
} // namespace pkc::ops
