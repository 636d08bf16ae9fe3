#include "polykit/manifest.hpp"
#include "support/artifact_builder.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::protocols::polykit {
namespace {

const std::string kHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

struct Refused {
  const char* name;
  std::string text;
  std::string message;
};

/// {"x":{"x":…}} with `depth` braces.
std::string nested(int depth) {
  std::string text;
  for (int i = 0; i < depth; ++i) {
    text += "{\"x\":";
  }
  return text + "1" + std::string(static_cast<std::size_t>(depth), '}');
}

TEST_SUITE("protocols::polykit::parse_metadata") {
  const std::string kGood = test::metadata_json("abc");

  TEST_CASE("parse: the six members arrive") {
    const auto metadata = parse_metadata(kGood);
    REQUIRE(metadata.has_value());
    CHECK(metadata->package_name == "pkg");
    CHECK(metadata->task_name == "build");
    CHECK(metadata->command == "echo hello");
    CHECK(metadata->cache_key_hash == "abc");
    CHECK(metadata->created_at == 1795175916);
    CHECK(metadata->version == 1);
  }

  TEST_CASE("parse: what the original tolerates is tolerated") {
    const std::vector<std::pair<const char*, std::string>> rows{
        {"another version", replaced(kGood, "\"version\":1", "\"version\":99")},
        {"unknown member", replaced(kGood, "{", R"({"new":[1,{"version":2}],)")},
        {"deep unknown member", replaced(kGood, "{", "{\"new\":" + nested(60) + ",")},
        {"white space", " \n" + replaced(kGood, ",", " ,\n\t") + "\n"},
        {"empty strings", replaced(kGood, "\"pkg\"", "\"\"")},
        {"created_at of 64 bits", replaced(kGood, "1795175916", "18446744073709551615")},
        {"escapes", replaced(kGood, "\"pkg\"", R"("\u00e4\ud83d\ude00\n")")},
    };
    for (const auto& [name, text] : rows) {
      CAPTURE(name);
      CHECK(parse_metadata(text).has_value());
    }
  }

  TEST_CASE("parse: anything else is refused and says why") {
    const std::vector<Refused> rows{
        {"nothing", "", "metadata.json is not valid JSON at byte 1"},
        {"cut", kGood.substr(0, 20), "metadata.json is not valid JSON at byte 21"},
        {"rest",
         kGood + "x",
         "metadata.json is not valid JSON at byte " + std::to_string(kGood.size() + 1)},
        {"byte order mark", "\xEF\xBB\xBF" + kGood, "metadata.json is not valid JSON at byte 1"},
        {"not UTF-8", "{\"\xFF\":1}", "metadata.json is not valid JSON at byte 3"},
        {"an array", R"(["p","t","c","k",1,1])", "metadata.json is not a JSON object"},
        {"a string", R"("p")", "metadata.json is not a JSON object"},
        {"a number", "7", "metadata.json is not a JSON object"},
        {"no package_name",
         replaced(kGood, "package_name", "x"),
         "metadata.json lacks package_name"},
        {"no task_name", replaced(kGood, "task_name", "x"), "metadata.json lacks task_name"},
        {"no command", replaced(kGood, "\"command\"", "\"x\""), "metadata.json lacks command"},
        {"no key", replaced(kGood, "cache_key_hash", "x"), "metadata.json lacks cache_key_hash"},
        {"no created_at", replaced(kGood, "created_at", "x"), "metadata.json lacks created_at"},
        {"no version", replaced(kGood, "version", "x"), "metadata.json lacks version"},
        {"number for a name",
         replaced(kGood, "\"pkg\"", "1"),
         "metadata.json needs a string as package_name"},
        {"null for a name",
         replaced(kGood, "\"pkg\"", "null"),
         "metadata.json needs a string as package_name"},
        {"object for a name",
         replaced(kGood, "\"pkg\"", "{}"),
         "metadata.json needs a string as package_name"},
        {"negative time",
         replaced(kGood, "1795175916", "-1"),
         "metadata.json needs a whole number as created_at"},
        {"fraction",
         replaced(kGood, "1795175916", "1.0"),
         "metadata.json needs a whole number as created_at"},
        {"exponent",
         replaced(kGood, "1795175916", "1e3"),
         "metadata.json needs a whole number as created_at"},
        {"time beyond 64 bits",
         replaced(kGood, "1795175916", "18446744073709551616"),
         "metadata.json needs a whole number as created_at"},
        {"time as text",
         replaced(kGood, "1795175916", "\"1\""),
         "metadata.json needs a whole number as created_at"},
        {"version beyond 32 bits",
         replaced(kGood, "\"version\":1", "\"version\":4294967296"),
         "metadata.json needs a whole number as version"},
        {"twice", replaced(kGood, "{", R"({"version":1,)"), "metadata.json has version twice"},
        {"too deep", nested(65), "metadata.json is nested too deeply"},
        {"far too deep", nested(150'000), "metadata.json is nested too deeply"},
    };
    for (const auto& [name, text, message] : rows) {
      CAPTURE(name);
      const auto metadata = parse_metadata(text);
      REQUIRE_FALSE(metadata.has_value());
      CHECK(metadata.error().code == Errc::invalid_argument);
      CHECK(metadata.error().message == message);
    }
  }

  TEST_CASE("parse: more than 1 MiB is too large") {
    const auto metadata = parse_metadata(kGood + std::string(kDocumentSizeMax, ' '));
    REQUIRE_FALSE(metadata.has_value());
    CHECK(metadata.error().code == Errc::too_large);
  }
}

TEST_SUITE("protocols::polykit::parse_manifest") {
  const std::string kGood = R"({"files":{"a.txt":")" + kHash + R"("},"total_size":6})";

  Result<ManifestTotals> parse(std::string_view text, std::map<std::string, Sha256> & files) {
    return parse_manifest(text, [&files](std::string path, const Sha256& digest) -> Result<void> {
      if (!files.emplace(std::move(path), digest).second) {
        return fail(Errc::invalid_argument, "twice");
      }
      return {};
    });
  }

  TEST_CASE("parse: files and total arrive") {
    std::map<std::string, Sha256> files;
    const auto totals = parse(kGood, files);
    REQUIRE(totals.has_value());
    CHECK(totals->total_size == 6);
    REQUIRE(files.size() == 1);
    CHECK(files.at("a.txt").hex() == kHash);
  }

  TEST_CASE("parse: what the original tolerates is tolerated") {
    const std::vector<std::pair<const char*, std::string>> rows{
        {"no files", R"({"files":{},"total_size":0})"},
        {"total first", R"({"total_size":0,"files":{}})"},
        {"unknown members", R"({"x":{"a.txt":1},"files":{},"y":[["z"]],"total_size":0})"},
    };
    for (const auto& [name, text] : rows) {
      CAPTURE(name);
      std::map<std::string, Sha256> files;
      CHECK(parse(text, files).has_value());
      CHECK(files.empty());
    }
  }

  TEST_CASE("parse: anything else is refused and says why") {
    const std::string hash_needed =
        R"(manifest.json needs 64 lower-case hex characters for "a.txt")";
    const std::vector<Refused> rows{
        {"an array", "[]", "manifest.json is not a JSON object"},
        {"cut", kGood.substr(0, 30), "manifest.json is not valid JSON at byte 31"},
        {"no files", R"({"total_size":1})", "manifest.json lacks files"},
        {"no total", R"({"files":{}})", "manifest.json lacks total_size"},
        {"files twice",
         R"({"files":{},"files":{},"total_size":1})",
         "manifest.json has files twice"},
        {"total twice",
         R"({"total_size":1,"files":{},"total_size":1})",
         "manifest.json has total_size twice"},
        {"files as a list",
         R"({"files":[],"total_size":1})",
         "manifest.json needs an object as files"},
        {"files as text",
         R"({"files":"","total_size":1})",
         "manifest.json needs an object as files"},
        {"negative total",
         replaced(kGood, "6}", "-6}"),
         "manifest.json needs a whole number as total_size"},
        {"upper-case hash", replaced(kGood, "e3b0", "E3b0"), hash_needed},
        {"short hash", replaced(kGood, "e3b0", "e3b"), hash_needed},
        {"hash with another letter", replaced(kGood, "e3b0", "e3bg"), hash_needed},
        {"number for a hash", replaced(kGood, "\"" + kHash + "\"", "1"), hash_needed},
        {"object for a hash", replaced(kGood, "\"" + kHash + "\"", "{}"), hash_needed},
        {"a path twice",
         replaced(kGood, "{\"a.txt\"", R"({"a.txt":")" + kHash + R"(","a.txt")"),
         "twice"},
        {"a path twice in two spellings",
         replaced(kGood, "{\"a.txt\"", R"({"\u0061.txt":")" + kHash + R"(","a.txt")"),
         "twice"},
        {"too deep", nested(70), "manifest.json is nested too deeply"},
    };
    for (const auto& [name, text, message] : rows) {
      CAPTURE(name);
      std::map<std::string, Sha256> files;
      const auto totals = parse(text, files);
      REQUIRE_FALSE(totals.has_value());
      CHECK(totals.error().code == Errc::invalid_argument);
      CHECK(totals.error().message == message);
    }
  }
}

TEST_SUITE("protocols::polykit::quoted_for_message") {
  TEST_CASE("quote: printable ASCII stays, the rest is escaped, the length is bounded") {
    CHECK(quoted_for_message("a b.txt") == R"("a b.txt")");
    CHECK(quoted_for_message("\xC3\xA4\n") == R"("\xc3\xa4\x0a")");
    CHECK(quoted_for_message(std::string(200, 'x')) == "\"" + std::string(200, 'x') + "\"");
    CHECK(quoted_for_message(std::string(100'000, 'x')) == "\"" + std::string(200, 'x') + "\"...");
    CHECK(quoted_for_message(std::string(100'000, '\n')).size() < 220);
  }
}

} // namespace
} // namespace pkc::protocols::polykit
