// What each file format may and may not hold, seen through load_settings().
#include "pkc/config/settings.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace pkc::config {
namespace {

Problems problems_of(const std::string& path, const std::string& text) {
  const auto loaded = load_settings(
      Sources{.flags = {}, .environment = {}, .file = ConfigFile{.path = path, .text = text}});
  return loaded ? Problems{} : loaded.error();
}

struct Row {
  std::string path;
  std::string text;
  std::string problem; ///< the first one begins with this
};

void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    CAPTURE(row.path);
    CAPTURE(row.text);
    const Problems problems = problems_of(row.path, row.text);
    REQUIRE(problems.size() == 1);
    CHECK(problems.front().substr(0, row.problem.size()) == row.problem);
  }
}

TEST_SUITE("config::Document") {
  TEST_CASE("parse: an empty file sets nothing") {
    CHECK(problems_of("s.yaml", "").empty());
    CHECK(problems_of("s.yml", "# only a comment\n").empty());
    CHECK(problems_of("s.yaml", "---\n").empty());
    CHECK(problems_of("s.toml", "").empty());
    CHECK(problems_of("s.json", "{}").empty());
  }

  TEST_CASE("parse: an unknown extension is refused") {
    check_rows({{"s.conf", "port: 1", "s.conf: the format is not known"},
                {"yaml", "port: 1", "yaml: the format is not known"},
                {"", "port: 1", ": the format is not known"}});
  }

  TEST_CASE("parse: a key set twice is a problem in every format") {
    check_rows({
        {"s.yaml", "port: 1\nport: 2\n", "s.yaml:2: port is set twice, first on line 1"},
        {"s.yaml",
         "max_size: 1\nmax-size: 2\n",
         "s.yaml:2: max_size is set twice, first on line 1"},
        {"s.json", "{\"port\": 1,\n\"port\": 1}", "s.json:2: port is set twice, first on line 1"},
        {"s.toml", "port = 1\nport = 2\n", "s.toml:2: not valid TOML: "},
        {"s.toml",
         "max_size = 1\nmax-size = 2\n",
         "s.toml:2: max_size is set twice, first on line 1"},
    });
  }

  TEST_CASE("parse: a value of a wrong type is refused, not converted") {
    check_rows({
        {"s.yaml", "port: \"1\"\n", "s.yaml:1: port needs a whole number, not text in quotes"},
        {"s.yaml", "port: [1]\n", "s.yaml:1: port needs a whole number, not a list"},
        {"s.yaml", "port: {a: 1}\n", "s.yaml:1: port needs a whole number, not a group of keys"},
        {"s.yaml", "port:\n", "s.yaml:1: port needs a whole number, not nothing"},
        {"s.yaml", "port: ~\n", "s.yaml:1: port needs a whole number, not nothing"},
        {"s.yaml",
         "port: !!int 1\n",
         "s.yaml:1: port needs a whole number, not a value with a tag"},
        {"s.yaml", "port: 1.5\n", "s.yaml:1: port: \"1.5\" is not a whole number"},
        {"s.yaml", "bind: [a]\n", "s.yaml:1: bind needs text, not a list"},
        {"s.yaml",
         "trusted_proxies: [[a]]\n",
         "s.yaml:1: trusted_proxies needs a list of texts, not a list of other things than text"},
        {"s.yaml",
         "trusted_proxies: [a.example]\n",
         "s.yaml:1: trusted_proxies: \"a.example\" is not an IP address"},
        {"s.yaml",
         "trusted_proxies: [::1, a.example]\n",
         "s.yaml:1: trusted_proxies: the list has an element that is not an IP address"},
        {"s.toml", "port = \"1\"\n", "s.toml:1: port needs a whole number, not text in quotes"},
        {"s.toml", "port = 1.0\n", "s.toml:1: port needs a whole number, not a fraction"},
        {"s.toml", "port = true\n", "s.toml:1: port needs a whole number, not true or false"},
        {"s.toml",
         "port = 1979-05-27\n",
         "s.toml:1: port needs a whole number, not a date or time"},
        {"s.toml", "port = -1\n", "s.toml:1: port: \"-1\" is not a whole number"},
        {"s.toml", "bind = 1\n", "s.toml:1: bind needs text, not a number"},
        {"s.toml", "[port]\na = 1\n", "s.toml:1: port needs a whole number, not a group of keys"},
        {"s.toml",
         "access_log = \"true\"\n",
         "s.toml:1: access_log needs true or false, not text in quotes"},
        {"s.toml",
         "trusted_proxies = [1]\n",
         "s.toml:1: trusted_proxies needs a list of texts, not a list of other things than text"},
        {"s.json", R"({"port": "1"})", "s.json:1: port needs a whole number, not text in quotes"},
        {"s.json", R"({"port": 1e3})", "s.json:1: port needs a whole number, not a fraction"},
        {"s.json", R"({"port": null})", "s.json:1: port needs a whole number, not nothing"},
        {"s.json", R"({"port": {"a": 1}})", "s.json:1: port needs a whole number, not a group of"},
        {"s.json", R"({"bind": false})", "s.json:1: bind needs text, not true or false"},
        {"s.json",
         R"({"trusted_proxies": ["::1", 1]})",
         "s.json:1: trusted_proxies needs a list of texts, not a list of other things than text"},
    });
  }

  TEST_CASE("parse: what is no settings file at all is told with its line") {
    check_rows({
        {"s.yaml", "port: 1\nbind: [\n", "s.yaml:3: not valid YAML: "},
        {"s.yaml", "port: 1\n\tbind: x\n", "s.yaml:2: not valid YAML: "},
        {"s.yaml", "- port\n- bind\n", "s.yaml:1: the file is not a list of `key: value` lines"},
        {"s.yaml", "just text\n", "s.yaml:1: the file is not a list of `key: value` lines"},
        {"s.yaml", "port: 1\n---\nbind: x\n", "s.yaml:2: a second document begins"},
        {"s.toml", "port: 1\n", "s.toml:1: not valid TOML: "},
        {"s.json", "{\"port\": 1,\n", "s.json:2: not valid JSON: "},
        {"s.json", "", "s.json:1: not valid JSON: "},
        {"s.json", "[1]", "s.json:1: the file is not one JSON object of settings"},
        {"s.json", "8080", "s.json:1: the file is not one JSON object of settings"},
        {"s.json", "{} {}", "s.json:1: not valid JSON: "},
    });
  }

  TEST_CASE("parse: the file cannot name another file") {
    check_rows({{"s.yaml",
                 "config: other.yaml\n",
                 "s.yaml:1: config cannot be set in a file, only by --config or "
                 "POLYKIT_CACHE_CONFIG"}});
  }

  TEST_CASE("parse: anchors and aliases do not expand") {
    std::string bomb = "bind: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (int level = 1; level < 40; ++level) {
      const std::string number = std::to_string(level);
      const std::string previous = "*a" + std::to_string(level - 1);
      bomb.append("level_").append(number).append(": &a").append(number);
      bomb.append(" [").append(previous).append(", ").append(previous).append("]\n");
    }

    const Problems problems = problems_of("s.yaml", bomb);

    CHECK(problems.size() == 40);
  }

  TEST_CASE("parse: an alias is not a value") {
    const Problems problems = problems_of("s.yaml", "port: &p 1\nworkers_min: *p\n");

    CHECK(problems == Problems{"s.yaml:2: workers_min needs a whole number, not an alias"});
  }

  TEST_CASE("parse: deep nesting is a problem and nothing worse") {
    const std::string deep(200'000, '[');

    CHECK_FALSE(problems_of("s.yaml", "port: " + deep).empty());
    CHECK_FALSE(problems_of("s.toml", "port = " + deep).empty());
    CHECK_FALSE(problems_of("s.json", R"({"port": )" + deep).empty());
  }

  TEST_CASE("parse: a hostile text cannot reach the terminal") {
    const Problems problems =
        problems_of("s.json", "{\"\\u001b[31m" + std::string(500, 'x') + "\": 1}");

    REQUIRE(problems.size() == 1);
    CHECK(problems.front().find('\x1b') == std::string::npos);
    CHECK(problems.front().size() < 150);
  }
}

} // namespace
} // namespace pkc::config
