#include "golden.hpp"

#include "pkc/config/reference.hpp"
#include "pkc/config/settings.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::config {
namespace {

const std::string kSource = PKC_SOURCE_DIR;

Sources from_file(std::string path, std::string text) {
  return Sources{.flags = {},
                 .environment = {},
                 .file = ConfigFile{.path = std::move(path), .text = std::move(text)}};
}

/// The sample with every setting made active.
std::string uncommented(std::string text) {
  for (std::size_t at = text.find('#'); at != std::string::npos; at = text.find('#', at + 1)) {
    const bool is_setting =
        at + 1 < text.size() && text[at + 1] != ' ' && (at == 0 || text[at - 1] == '\n');
    if (is_setting) {
      text.erase(at, 1);
    }
  }
  return text;
}

TEST_SUITE("config::reference") {
  TEST_CASE("sample_file: as it stands it changes nothing") {
    const auto loaded = load_settings(from_file("sample.yaml", sample_file()));

    REQUIRE(loaded.has_value());
    CHECK(std::ranges::all_of(loaded->origins, [](const auto& origin) {
      return origin.second.kind == OriginKind::initial;
    }));
  }

  TEST_CASE("sample_file: with every line active it sets everything to its default") {
    const auto loaded = load_settings(from_file("sample.yaml", uncommented(sample_file())));

    REQUIRE(loaded.has_value());
    // The origins tell that each was set, the values that they are the defaults.
    for (const auto& [name, origin] : loaded->origins) {
      CAPTURE(name);
      CHECK((origin.kind == OriginKind::file) == (name != "config"));
    }
    const auto values_only = [](const LoadedSettings& settings) {
      LoadedSettings copy = settings;
      std::ranges::for_each(copy.origins, [](auto& origin) { origin.second = Origin{}; });
      return show_text(copy);
    };
    CHECK(values_only(*loaded) == values_only(load_settings(Sources{}).value()));
  }

  TEST_CASE("sample_file: packaging/polykit-cache.yaml is the one of this program") {
    const std::string path = kSource + "/packaging/polykit-cache.yaml";
    if (test::accepts_golden()) {
      test::write_golden(path, sample_file());
    }

    // Otherwise run this test with PKC_ACCEPT=1 and look at what changed.
    CHECK(test::read_golden(path) == sample_file());
  }

  TEST_CASE("readme_table: the table in README.md is the one of this program") {
    const std::string begin_mark = "<!-- settings -->\n";
    const std::string end_mark = "<!-- /settings -->";
    const std::string path = kSource + "/README.md";
    std::string readme = test::read_golden(path);
    const std::size_t begin = readme.find(begin_mark);
    const std::size_t end = readme.find(end_mark);
    if (begin == std::string::npos || end == std::string::npos || end < begin) {
      MESSAGE("README.md has no <!-- settings --> … <!-- /settings --> to compare");
      return;
    }
    const std::size_t table = begin + begin_mark.size();
    if (test::accepts_golden()) {
      readme.replace(table, end - table, readme_table());
      test::write_golden(path, readme);
    }

    const std::string current = test::read_golden(path);
    CHECK(current.substr(table, current.find(end_mark) - table) == readme_table());
  }

  TEST_CASE("help_text: every flag is there, on lines of at most eighty columns") {
    const std::string help = help_text();

    for (const std::string_view name : flag_names()) {
      CHECK(help.find("  --" + std::string(name) + " ") != std::string::npos);
    }
    std::size_t begin = 0;
    while (begin < help.size()) {
      const std::size_t end = help.find('\n', begin);
      CHECK(end - begin <= 80);
      begin = end + 1;
    }
  }

  TEST_CASE(
      "manual_page: an entry for each key of a file, and no line that troff takes for another") {
    const std::string page = manual_page();
    const std::string sample = sample_file();
    constexpr std::array<std::string_view, 13> kMacros = {
        "SH", "TP", "PP", "BI", "BR", "IR", "RI", "I", "br", "RS", "RE", "EX", "EE"};

    for (const std::string_view name : flag_names()) {
      std::string key(name);
      std::ranges::replace(key, '-', '_');
      const bool in_file = sample.find("\n#" + key + ": ") != std::string::npos;
      CAPTURE(key);
      CHECK((page.find("\n.BI " + key + ": \" ") != std::string::npos) == in_file);
    }
    std::size_t begin = 0;
    while (begin < page.size()) {
      const std::size_t end = page.find('\n', begin);
      const std::string line = page.substr(begin, end - begin);
      CAPTURE(line);
      CHECK(!line.empty());
      CHECK(!line.starts_with('\''));
      CHECK((!line.starts_with('.') ||
             std::ranges::find(kMacros, line.substr(1, line.find(' ') - 1)) != kMacros.end()));
      begin = end + 1;
    }
  }

  TEST_CASE(
      "flag_summaries: the words of a choice, the kind of a path, the first clause of a help") {
    const std::vector<FlagSummary> flags = flag_summaries();
    const auto flag = [&flags](std::string_view name) {
      return *std::ranges::find(flags, name, &FlagSummary::name);
    };

    CHECK(flags.size() == flag_names().size());
    CHECK(flag("config").completion == Completion::files);
    CHECK(flag("storage-dir").completion == Completion::directories);
    CHECK(flag("port").completion == Completion::none);
    CHECK(flag("durability").words == std::vector<std::string_view>{"none", "file", "full"});
    CHECK(flag("access-log").words == std::vector<std::string_view>{"true", "false"});
    CHECK(flag("access-log").completion == Completion::words);
    CHECK(flag("durability").summary == "What an acknowledged upload survives");
    CHECK(flag("storage-dir").summary == "The directory that holds the artifacts");
    CHECK(flag("open-files-max").placeholder == "N");
  }

  TEST_CASE("show_text: a line for each setting, with its origin") {
    Sources sources = from_file("s.yaml", "\nmax_size: 5368709120\n");
    sources.flags = {{"port", "0"}};
    const auto loaded = load_settings(sources);
    REQUIRE(loaded.has_value());

    const std::string text = show_text(*loaded);

    const auto has_line = [&text](const std::string& line) {
      return text.find(line + "\n") != std::string::npos;
    };
    CHECK(has_line("storage-dir                  ./cache    default"));
    CHECK(has_line("max-size                     5GiB       file s.yaml:2"));
    CHECK(has_line("port                         0          flag --port"));
    CHECK(std::ranges::count(text, '\n') == std::ssize(flag_names()));
  }

  TEST_CASE("show_json: values have the types that a file takes") {
    Sources sources;
    sources.flags = {{"max-size", "5GiB"},
                     {"trusted-proxies", "10.0.0.0/8,::1"},
                     {"access-log", "false"},
                     {"idle-timeout", "90s"}};
    const std::string json = show_json(load_settings(sources).value());

    CHECK(json.find("\"max_size\": {\n    \"value\": 5368709120,\n    \"origin\": \"flag\",\n"
                    "    \"place\": \"--max-size\",") != std::string::npos);
    CHECK(json.find("\"value\": [\n      \"10.0.0.0/8\",\n      \"::1\"\n    ]") !=
          std::string::npos);
    CHECK(json.find("\"access_log\": {\n    \"value\": false,") != std::string::npos);
    CHECK(json.find("\"idle_timeout\": {\n    \"value\": \"90s\",") != std::string::npos);
  }

  TEST_CASE("show_json: a path that is not UTF-8 is shown, not fatal") {
    Sources sources;
    sources.flags = {{"storage-dir", "/srv/\xff"}};

    CHECK(show_json(load_settings(sources).value()).find("/srv/\xef\xbf\xbd") != std::string::npos);
  }

  TEST_CASE("nearest_name: a slip of the finger is understood, another word is not") {
    const std::vector<std::string_view> known = {"port", "max-size", "log-level"};

    CHECK(nearest_name("prot", known) == "port");
    CHECK(nearest_name("por", known) == "port");
    CHECK(nearest_name("ports", known) == "port");
    CHECK(nearest_name("maxsize", known) == "max-size");
    CHECK(nearest_name("loglevle", known) == "log-level");
    CHECK(nearest_name("host", known).empty());
    CHECK(nearest_name("", known).empty());
    CHECK(nearest_name(std::string(1'000'000, 'p'), known).empty());
  }
}

} // namespace
} // namespace pkc::config
