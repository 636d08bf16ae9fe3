#include "arguments.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace pkc::cli {
namespace {

constexpr std::array kOptions = {
    Option{.name = "json", .value = "", .help = ""},
    Option{.name = "jobs", .value = "N", .help = ""},
    Option{.name = "scope", .value = "SCOPE", .help = "", .times = Option::Times::many},
};
constexpr std::array kCommands = {
    Syntax{.command = "get",
           .options = kOptions,
           .operands = {.syntax = "KEY [FILE]", .min = 1, .max = 2}},
    Syntax{.command = "token list", .options = kOptions},
};

Arguments parse(const std::vector<std::string>& words) {
  return parse_arguments(words, kCommands);
}

} // namespace

TEST_SUITE("cli::Arguments") {
  TEST_CASE("options: of the command, with and without a value, in either spelling") {
    const Arguments arguments = parse(
        {"token", "list", "--jobs", "4", "--json", "--scope=a", "--port", "7", "--scope", "b"});

    CHECK(arguments.problems == config::Problems{});
    CHECK(arguments.command == "token list");
    CHECK(arguments.has("json"));
    CHECK(arguments.value("jobs") == "4");
    CHECK(arguments.value("scope") == "b");
    CHECK(arguments.value("json") == "");
    CHECK(arguments.options == std::vector<config::Assignment>{
                                   {"json", ""}, {"jobs", "4"}, {"scope", "a"}, {"scope", "b"}});
    CHECK(arguments.flags == std::vector<config::Assignment>{{"port", "7"}});
  }

  TEST_CASE("operands: taken around the flags, and after -- whatever they look like") {
    CHECK(parse({"get", "KEY", "--json", "FILE"}).operands ==
          std::vector<std::string>{"KEY", "FILE"});
    CHECK(parse({"get", "KEY", "-"}).operands == std::vector<std::string>{"KEY", "-"});
    CHECK(parse({"get", "--", "--KEY", "-x"}).operands == std::vector<std::string>{"--KEY", "-x"});
    CHECK(parse({"get", "get"}).operands == std::vector<std::string>{"get"});
  }

  TEST_CASE("mistakes: each is told once") {
    const std::vector<std::pair<std::vector<std::string>, std::string>> rows = {
        {{"get"}, "get needs KEY [FILE]"},
        {{"get", "a", "b", "c"}, "unexpected argument \"c\""},
        {{"get", "a", "--jobs"}, "--jobs needs a value"},
        {{"get", "a", "--jobs", "--json"}, "--jobs needs a value in front of --json"},
        {{"get", "a", "--jobs", "1", "--jobs=2"}, "--jobs is given more than once"},
        {{"get", "a", "--json=b"}, "--json takes no value"},
        {{"get", "a", "--jbos", "b"}, "unknown flag --jbos; did you mean --jobs?"},
        {{"--json", "get", "a"}, "--json must stand behind get"},
    };

    for (const auto& [words, problem] : rows) {
      CAPTURE(problem);
      CHECK(parse(words).problems == config::Problems{problem});
    }
  }

  TEST_CASE("take_number: within its range, or a problem") {
    Arguments good = parse({"get", "a", "--jobs", "64"});
    CHECK(take_number(good, "jobs", {.initial = 1, .min = 1, .max = 64}) == 64);
    Arguments none = parse({"get", "a"});
    CHECK(take_number(none, "jobs", {.initial = 3, .min = 1, .max = 64}) == 3);
    CHECK(good.problems.empty());
    CHECK(none.problems.empty());

    for (const std::string text : {"0", "65", "x", "1x", "", "-1", "99999999999999999999"}) {
      CAPTURE(text);
      Arguments bad = parse({"get", "a", "--jobs=" + text});
      CHECK(take_number(bad, "jobs", {.initial = 3, .min = 1, .max = 64}) == 3);
      CHECK(bad.problems ==
            config::Problems{"--jobs takes a whole number from 1 to 64, not \"" + text + "\""});
    }
  }
}

} // namespace pkc::cli
