// The command line of the built program: exit codes, and what goes to which output.
#include "support/temp_dir.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/version.hpp"

#include <doctest/doctest.h>
#include <spawn.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace pkc::test {
namespace {

struct Finished {
  int exit_code = -1;
  std::string out;
  std::string err;
};

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  UniqueFd reader;
  UniqueFd writer;
};

std::string read_all(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count <= 0) {
      return text;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  result.reserve(words.size() + 1);
  for (std::string& word : words) {
    result.push_back(word.data());
  }
  result.push_back(nullptr);
  return result;
}

/// Runs the program to its end, in an environment of only the given variables.
Finished run_program(std::vector<std::string> words, std::vector<std::string> environment = {}) {
  words.insert(words.begin(), PKC_PROGRAM);
  const std::vector<char*> arguments = pointers(words);
  const std::vector<char*> variables = pointers(environment);
  Pipe out;
  Pipe err;
  posix_spawn_file_actions_t actions{};
  REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
  REQUIRE(posix_spawn_file_actions_adddup2(&actions, out.writer.get(), STDOUT_FILENO) == 0);
  REQUIRE(posix_spawn_file_actions_adddup2(&actions, err.writer.get(), STDERR_FILENO) == 0);
  pid_t child = -1;
  const int spawned =
      posix_spawn(&child, PKC_PROGRAM, &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  REQUIRE(spawned == 0);
  out.writer.reset();
  err.writer.reset();

  Finished finished;
  std::jthread reader([&] { finished.err = read_all(err.reader.get()); });
  finished.out = read_all(out.reader.get());
  reader.join();
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kHint = "Try `polykit-cache --help` for commands, flags and what they take.\n";

TEST_SUITE("cli::polykit-cache") {
  TEST_CASE("--help: goes to standard output, wherever it stands") {
    for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
             {"--help"}, {"-h"}, {"serve", "--help"}, {"--port", "x", "serve", "-h"}}) {
      const Finished finished = run_program(words);

      CHECK(finished.exit_code == 0);
      CHECK(finished.out.starts_with("polykit-cache is a build cache server.\n"));
      CHECK(contains(finished.out, "\nStorage:\n  --storage-dir DIR\n"));
      CHECK(contains(finished.out, "\nExit codes:\n  0 "));
      CHECK(finished.err.empty());
    }
  }

  TEST_CASE("--help: of a command, tells what that takes") {
    const Finished finished = run_program({"--port", "x", "config", "show", "-h"});

    CHECK(finished.exit_code == 0);
    CHECK(finished.out.starts_with("Usage: polykit-cache config show [options] [flags]\n"));
    CHECK(contains(finished.out, "\nOptions:\n  --json          prints JSON, for scripts\n"));
    CHECK(!contains(finished.out, "--storage-dir"));
    CHECK(finished.err.empty());
  }

  TEST_CASE("--version: one line") {
    for (const char* const word : {"--version", "-V", "version"}) {
      const Finished finished = run_program({word});

      CHECK(finished.exit_code == 0);
      CHECK(finished.out.starts_with("polykit-cache " + std::string(kVersion)));
      CHECK(finished.out.ends_with("\n"));
      CHECK(finished.err.empty());
    }
  }

  TEST_CASE("usage: a mistake is named on standard error, and the exit code is 2") {
    struct Row {
      std::vector<std::string> words;
      std::string problems;
    };
    const std::string config_needs =
        "polykit-cache: config needs to know what: show, check or sample\n";
    const std::vector<Row> rows = {
        {{"--prot", "80"}, "polykit-cache: unknown flag --prot; did you mean --port?\n"},
        {{"serve", "--prot=80"}, "polykit-cache: unknown flag --prot; did you mean --port?\n"},
        {{"-x"}, "polykit-cache: unknown flag -x\n"},
        {{"--port"}, "polykit-cache: --port needs a value\n"},
        {{"--storage-dir", "--access-log", "config", "show"},
         "polykit-cache: --storage-dir needs a value in front of --access-log\n"},
        {{"srve"}, "polykit-cache: unexpected argument \"srve\"; did you mean serve?\n"},
        {{"confg", "show"}, "polykit-cache: unexpected argument \"confg\"; did you mean config?\n"},
        {{"config"}, config_needs},
        {{"config", "shwo"},
         "polykit-cache: unexpected argument \"shwo\"; did you mean config show?\n" + config_needs},
        {{"completion"}, "polykit-cache: completion needs to know what: bash, zsh or fish\n"},
        {{"serve", "now"}, "polykit-cache: unexpected argument \"now\"\n"},
        {{"--json"}, "polykit-cache: unknown flag --json\n"},
        {{"--json", "config", "show"}, "polykit-cache: --json must stand behind config show\n"},
        {{"config", "show", "--jsn"}, "polykit-cache: unknown flag --jsn; did you mean --json?\n"},
        {{"config", "show", "--json=yes"}, "polykit-cache: --json takes no value\n"},
        {{"config", "show", "--json", "--json"}, "polykit-cache: --json is given more than once\n"},
        {{"config", "sample", "--zzz"}, "polykit-cache: unknown flag --zzz\n"},
        {{"--log-level", "loud", "--port", "1", "--port=2"},
         "polykit-cache: --port is given more than once\n"
         "polykit-cache: --log-level: \"loud\" is none of trace, debug, info, warn, error\n"},
        {{"--config", "/nonexistent/s.yaml"},
         "polykit-cache: /nonexistent/s.yaml: cannot be read: there is no such file\n"},
    };

    for (const Row& row : rows) {
      const Finished finished = run_program(row.words);

      CHECK(finished.err == row.problems + kHint);
      CHECK(finished.exit_code == 2);
      CHECK(finished.out.empty());
    }
  }

  TEST_CASE("usage: mistakes of command line, environment and file are told together") {
    const TempDir dir;
    const std::string path = dir / "s.toml";
    std::ofstream(path) << "port = 70000\n";

    const Finished finished =
        run_program({"config", "check", "--bind", "", "--config", path}, {"POLYKIT_CACHE_PROT=1"});

    CHECK(finished.err ==
          "polykit-cache: " + path +
              ":1: port: \"70000\" is more than 65535, the maximum\n"
              "polykit-cache: unknown environment variable POLYKIT_CACHE_PROT; did you mean "
              "POLYKIT_CACHE_PORT?\n"
              "polykit-cache: --bind: \"\" must not be empty\n" +
              kHint);
    CHECK(finished.exit_code == 2);
  }

  TEST_CASE("config show: flags count in front of the command and behind it") {
    const Finished before = run_program({"--port", "7", "config", "show"});
    const Finished behind = run_program({"config", "show", "--port=7"});

    CHECK(before.exit_code == 0);
    CHECK(contains(before.out, "port                         7          flag --port\n"));
    CHECK(before.out == behind.out);
  }

  TEST_CASE("config show: an empty value behind = is a value") {
    const Finished finished = run_program({"config", "show", "--trusted-proxies=", "--port", "7"},
                                          {"POLYKIT_CACHE_TRUSTED_PROXIES=::1"});

    CHECK(finished.exit_code == 0);
    CHECK(contains(finished.out, "flag --trusted-proxies\n"));
    CHECK(contains(finished.out, "flag --port\n"));
  }

  TEST_CASE("config show: tells the environment and the file as origins") {
    const TempDir dir;
    const std::string path = dir / "s.yaml";
    std::ofstream(path) << "# port\nport: 1\n";

    const Finished finished =
        run_program({"config", "show", "--json"},
                    {"POLYKIT_CACHE_CONFIG=" + path, "POLYKIT_CACHE_MAX_SIZE=5GiB"});

    CHECK(finished.exit_code == 0);
    CHECK(contains(finished.out,
                   "\"port\": {\n    \"value\": 1,\n    \"origin\": \"file\",\n    \"place\": \"" +
                       path + ":2\""));
    CHECK(contains(finished.out, "\"value\": 5368709120,\n    \"origin\": \"environment\""));
  }

  TEST_CASE("config check: says so when all is well") {
    const Finished finished = run_program({"config", "check", "--port", "0"});

    CHECK(finished.exit_code == 0);
    CHECK(finished.out == "The settings are valid.\n");
    CHECK(finished.err.empty());
  }

  TEST_CASE("doctor: reads what the server reads, and takes --json") {
    const TempDir dir;
    const std::vector<std::string> environment = {"POLYKIT_CACHE_STORAGE_DIR=" + (dir / "new"),
                                                  "POLYKIT_CACHE_PORT=0"};

    const Finished text = run_program({"doctor"}, environment);
    const Finished json = run_program({"doctor", "--json"}, environment);

    CHECK(text.exit_code == 0);
    CHECK(contains(text.out, "\nok       directory    " + (dir / "new") + " does not exist yet"));
    CHECK(text.err.empty());
    CHECK(json.exit_code == 0);
    CHECK(json.out.starts_with("{\n  \"problems\": 0,\n"));
    CHECK(contains(json.out, "\"check\": \"directory\",\n      \"text\": \"" + (dir / "new")));
  }

  TEST_CASE("doctor: wrong settings are exit code 2") {
    const Finished finished = run_program({"doctor", "--prot", "1"});

    CHECK(finished.exit_code == 2);
    CHECK(finished.err == "polykit-cache: unknown flag --prot; did you mean --port?\n" + kHint);
    CHECK(finished.out.empty());
  }

  TEST_CASE("config sample: is a file that the program takes, whatever the environment says") {
    const TempDir dir;
    const Finished sample = run_program({"config", "sample"}, {"POLYKIT_CACHE_PORT=x"});
    std::ofstream(dir / "s.yaml") << sample.out;

    CHECK(sample.exit_code == 0);
    CHECK(run_program({"config", "check", "--config", dir / "s.yaml"}).exit_code == 0);
  }

  TEST_CASE("serve: a start that fails is exit code 1") {
    const TempDir dir;
    std::ofstream(dir / "file") << "no directory";

    const Finished finished = run_program({"--storage-dir", dir / "file", "--port", "0"});

    CHECK(finished.exit_code == 1);
    CHECK(contains(finished.out, " ERROR "));
    CHECK(contains(finished.out, "polykit-cache doctor"));
  }
}

} // namespace
} // namespace pkc::test
