#include "pkc/config/manifest.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::config {
namespace {

const std::string kMd5(32, 'a');
const std::string kSha1(40, 'b');
const std::string kSha256(64, 'c');
const std::string kSha512(128, 'd');

Manifest parse(const std::string& text, ManifestFormat format) {
  auto manifest = parse_manifest({.path = "m", .text = text}, format);
  if (!manifest) {
    for (const std::string& problem : manifest.error()) {
      MESSAGE(problem);
    }
  }
  REQUIRE(manifest.has_value());
  return *std::move(manifest);
}

Problems problems_of(const std::string& text, ManifestFormat format) {
  const auto manifest = parse_manifest({.path = "m", .text = text}, format);
  REQUIRE(!manifest.has_value());
  return manifest.error();
}

const Manifest kThree{
    .files = {{.url = "https://a.example/1", .checksums = {}},
              {.url = "https://a.example/2", .checksums = {{ChecksumAlgorithm::sha256, kSha256}}},
              {.url = "https://a.example/3",
               .checksums = {{ChecksumAlgorithm::sha512, kSha512},
                             {ChecksumAlgorithm::md5, kMd5}}}},
    .repeated = 0};

} // namespace

TEST_SUITE("config::Manifest") {
  TEST_CASE("format: by its name and by the extension") {
    CHECK(parse_manifest_format("txt") == ManifestFormat::text);
    CHECK(parse_manifest_format("json") == ManifestFormat::json);
    CHECK(parse_manifest_format("yaml") == ManifestFormat::yaml);
    CHECK(parse_manifest_format("xml") == std::nullopt);
    CHECK(manifest_format_of("/a.json/list") == ManifestFormat::text);
    CHECK(manifest_format_of("a.JSON") == ManifestFormat::json);
    CHECK(manifest_format_of("a.yml") == ManifestFormat::yaml);
    CHECK(manifest_format_of("a.yaml") == ManifestFormat::yaml);
    CHECK(manifest_format_of("a.txt") == ManifestFormat::text);
  }

  TEST_CASE("text: comments, blank lines, CRLF, a byte order mark, and every way of a checksum") {
    const std::string text =
        "\xEF\xBB\xBF# a list\r\n\r\n  https://A.example:443/1#part \r\n"
        "https://a.example/2\t" +
        kSha256 + "  # known\r\n" + "https://a.example/3 SHA512:" + kSha512 + " md5:" + kMd5;

    CHECK(parse(text, ManifestFormat::text) == kThree);
  }

  TEST_CASE("text: digits alone are told apart by their number") {
    const std::vector<std::pair<std::string, ChecksumAlgorithm>> rows = {
        {kMd5, ChecksumAlgorithm::md5},
        {kSha1, ChecksumAlgorithm::sha1},
        {kSha256, ChecksumAlgorithm::sha256},
        {kSha512, ChecksumAlgorithm::sha512}};
    for (const auto& [digits, algorithm] : rows) {
      const Manifest manifest = parse("http://a/ " + digits, ManifestFormat::text);
      CHECK(manifest.files.front().checksums == std::vector<Checksum>{{algorithm, digits}});
    }
  }

  TEST_CASE("yaml and json: texts and groups, at the top or under one of three keys") {
    const std::string yaml = "- https://a.example/1\n- https://a.example/2 " + kSha256 +
                             "\n- url: https://a.example/3\n  sha512: " + kSha512 +
                             "\n  checksum: md5:" + kMd5 + "\n";
    const std::string json = R"(["https://a.example/1", {"sha256": ")" + kSha256 +
                             R"(", "url": "https://a.example/2"}, {"url": "https://a.example/3",)" +
                             R"("checksum": ")" + kSha512 + R"(", "md5": ")" + kMd5 + R"("}])";

    CHECK(parse(yaml, ManifestFormat::yaml) == kThree);
    CHECK(parse(json, ManifestFormat::json) == kThree);
    for (const std::string key : {"files", "artifacts", "urls"}) {
      CAPTURE(key);
      const std::string in_yaml = key + ":\n";
      const std::string in_json = "{\"" + key + "\":";
      CHECK(parse(in_yaml + yaml, ManifestFormat::yaml) == kThree);
      CHECK(parse(in_json + json + "}", ManifestFormat::json) == kThree);
    }
  }

  TEST_CASE("repeated URLs: one file with the checksums of all") {
    const std::string text = "http://a/x\nhttp://b/\nHTTP://A:80/x " + kMd5 + "\nhttp://a/x " +
                             kSha1 + " " + kMd5 + "\n";

    const Manifest manifest = parse(text, ManifestFormat::text);

    CHECK(manifest.repeated == 2);
    REQUIRE(manifest.files.size() == 2);
    CHECK(manifest.files[0].checksums ==
          std::vector<Checksum>{{ChecksumAlgorithm::md5, kMd5}, {ChecksumAlgorithm::sha1, kSha1}});
    CHECK(problems_of("http://a/\nhttp://a/ " + kMd5 + "\n\nhttp://a/ " + std::string(32, 'b'),
                      ManifestFormat::text) == Problems{"m:4: the URL of line 1 with another md5"});
  }

  TEST_CASE("mistakes in text: each with its line, and none hides another") {
    const std::string text =
        "ftp://a/\nhttp://a/ sha256:12\nhttp://a/ 12\nhttp://a/ crc32:12\n"
        "http://secret:word@a/\nhttp://a/ " +
        kMd5 + " " + std::string(32, 'b') + "\nno-url\n";

    const Problems problems = problems_of(text, ManifestFormat::text);

    REQUIRE(problems.size() == 7);
    CHECK(problems[0].starts_with("m:1: not a URL to download: "));
    CHECK(problems[1] == "m:2: sha256 takes 64 hex digits");
    CHECK(problems[2].starts_with("m:3: a checksum is 32, 40, 64 or 128"));
    CHECK(problems[3] == "m:4: a checksum begins with sha256:, sha512:, sha1: or md5:");
    CHECK(problems[4].starts_with("m:5: not a URL to download: "));
    CHECK(!problems[4].contains("word"));
    CHECK(problems[5] == "m:6: two different values of md5");
    CHECK(problems[6].starts_with("m:7: "));
  }

  TEST_CASE("mistakes in trees: each with its line") {
    const struct {
      ManifestFormat format;
      std::string text;
      std::string problem;
    } rows[] = {
        {ManifestFormat::yaml, "- sha256: a", "m:1: sha256 takes 64 hex digits"},
        {ManifestFormat::yaml,
         "\n- url: http://a/\n  sha265: a",
         "m:3: unknown key \"sha265\" in an entry; did you mean sha256?"},
        {ManifestFormat::yaml,
         "- url: http://a/\n  sha256:",
         "m:2: \"sha256\" has no text; leave the key out if there is none"},
        {ManifestFormat::json,
         "[{\"url\":\"http://a/\",\n\"md5\":null}]",
         "m:2: \"md5\" has no text; leave the key out if there is none"},
        {ManifestFormat::json, "[\n1]", "m:2: a number where text is expected"},
        {ManifestFormat::json,
         R"([{"url":"http://a/","url":"http://b/"}])",
         "m:1: url is there twice, first on line 1"},
        {ManifestFormat::yaml,
         "- [http://a/]",
         "m:1: an entry is a URL, or a group with the key url"},
        {ManifestFormat::json,
         R"(["http://a/", ""])",
         "m:1: an entry is a URL, or a group with the key url"},
        {ManifestFormat::yaml, "files: http://a/", "m:1: the files must be a list"},
        {ManifestFormat::yaml,
         "file: []",
         "m:1: unknown key \"file\" in the manifest, whose list is under files, artifacts or urls; "
         "did you mean files?"},
        {ManifestFormat::json, "[{}]", "m:1: an entry without url"},
        {ManifestFormat::json, "\"http://a/\"", "m:1: the files must be a list"},
        {ManifestFormat::yaml, "- *a", "m:1: not valid YAML: "},
        {ManifestFormat::json, "[\"http://a/\",", "m:1: not valid JSON: "},
        {ManifestFormat::json, std::string(17, '['), "m:1: nested too deeply"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.text);
      const Problems problems = problems_of(row.text, row.format);
      CHECK_MESSAGE(problems.front().starts_with(row.problem), problems.front());
    }
  }

  TEST_CASE("nothing in it: a problem, as somebody meant something") {
    for (const ManifestFormat format : {ManifestFormat::text, ManifestFormat::yaml}) {
      CHECK(problems_of("# only this\n", format) == Problems{"m: names no file"});
      CHECK(problems_of("", format) == Problems{"m: names no file"});
    }
    CHECK(problems_of("[]", ManifestFormat::json) == Problems{"m: names no file"});
    CHECK(problems_of(R"({"files":[]})", ManifestFormat::json) == Problems{"m: names no file"});
  }

  TEST_CASE("limits: on the line, the entries, the file and the problems") {
    std::string entries;
    std::string mistakes;
    for (std::size_t i = 0; i <= kManifestEntriesMax; ++i) {
      entries.append("http://a/").append(std::to_string(i)).append("\n");
      mistakes += "x\n";
    }

    CHECK(problems_of("http://a/ " + std::string(kManifestLineSizeMax, ' '),
                      ManifestFormat::text) == Problems{"m:1: longer than 10000 bytes"});
    CHECK(problems_of(entries, ManifestFormat::text) ==
          Problems{"m:100001: more than 100000 entries: split the file"});
    entries.resize(entries.rfind('\n', entries.size() - 2));
    CHECK(parse(entries, ManifestFormat::text).files.size() == kManifestEntriesMax);
    CHECK(problems_of(std::string(kManifestSizeMax + 1, '\n'), ManifestFormat::text) ==
          Problems{"m: larger than 32MiB"});
    const Problems many = problems_of(mistakes, ManifestFormat::text);
    CHECK(many.size() == 101);
    CHECK(many.back() == "m: and more");
  }
}

} // namespace pkc::config
