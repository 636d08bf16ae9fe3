#include "polykit/artifact_verifier.hpp"
#include "support/artifact_builder.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::protocols::polykit {
namespace {

using test::artifact_body;
using test::artifact_tar;
using test::ArtifactParts;
using test::json_text;
using test::manifest_json;
using test::metadata_json;
using test::NamedFiles;
using test::tar_end;
using test::tar_file;
using test::tar_member;
using test::zstd_frame;

const std::string kKey(test::kArtifactKey);
const std::string kMetadata = metadata_json(test::kArtifactKey);
const NamedFiles kFiles{{"stderr.txt", ""}, {"stdout.txt", "hello\n"}};

Result<ArtifactFacts> verify(std::string_view body,
                             std::size_t step = ~std::size_t{0},
                             const ArtifactLimits& limits = {}) {
  static ZstdContextPool pool; // as in the server: one for all uploads
  ArtifactVerifier verifier(test::kArtifactKey, pool, limits);
  while (!body.empty()) {
    const std::string_view piece = body.substr(0, step);
    TRY(verifier.write(as_bytes(piece)));
    body.remove_prefix(piece.size());
  }
  return verifier.finish();
}

/// The error of an artifact, fed whole and byte by byte.
Error refusal(std::string_view body) {
  const auto whole = verify(body);
  const auto bytewise = verify(body, 1);
  REQUIRE_FALSE(whole.has_value());
  REQUIRE_FALSE(bytewise.has_value());
  CHECK(whole.error().message == bytewise.error().message);
  return whole.error();
}

std::string metadata_member(std::string text = kMetadata) {
  return tar_file("metadata.json", std::move(text));
}

std::string manifest_member(const NamedFiles& files = kFiles) {
  return tar_file("manifest.json", manifest_json(files));
}

std::string outputs(const NamedFiles& files = kFiles) {
  std::string tar;
  for (const auto& [path, content] : files) {
    tar += tar_file("outputs/" + path, content);
  }
  return tar;
}

/// An artifact whose manifest lists one file of this path, which is there.
std::string one_file(const std::string& path) {
  return artifact_body({.files = {{path, "x"}}});
}

/// A correct artifact with another member at its end.
std::string with_member(const test::TarMember& member) {
  return artifact_body({.extra = tar_member(member)});
}

struct Refused {
  const char* name;
  std::string body;
  std::string message;
  Errc code = Errc::invalid_argument;
};

void check_rows(const std::vector<Refused>& rows) {
  for (const auto& [name, body, message, code] : rows) {
    CAPTURE(name);
    const Error error = refusal(body);
    CHECK(error.message == message);
    CHECK(error.code == code);
  }
}

TEST_SUITE("protocols::polykit::ArtifactVerifier") {
  TEST_CASE("finish: tells what the metadata says") {
    const auto facts = verify(artifact_body());
    REQUIRE(facts.has_value());
    CHECK(facts->created_at == 1795175916);
    CHECK(facts->package == "pkg");
    CHECK(facts->task == "build");
  }

  TEST_CASE("write: everything that an honest client may send is accepted") {
    const std::string long_path = std::string(140, 'd') + "/" + std::string(90, 'f');
    const NamedFiles long_file{{long_path, "x"}};
    const std::string head = metadata_member() + manifest_member(long_file);
    std::string ustar;
    for (const auto& [path, content] : NamedFiles{{"metadata.json", kMetadata},
                                                  {"manifest.json", manifest_json(kFiles)},
                                                  {"outputs/stderr.txt", ""},
                                                  {"outputs/stdout.txt", "hello\n"}}) {
      ustar += tar_member({.path = path,
                           .content = content,
                           .type = '0',
                           .magic = test::kUstarMagic,
                           .mode = "0000644",
                           .checksum = test::TarChecksum::six_digits});
    }
    const std::string tar = artifact_tar();
    const std::vector<std::pair<const char*, std::string>> rows{
        {"the client's artifact", artifact_body()},
        {"a silent task", artifact_body({.files = {{"stderr.txt", ""}, {"stdout.txt", ""}}})},
        {"no files", artifact_body({.files = {}})},
        {"many files and folders",
         artifact_body({.files = {{"a", "1"}, {"b/c", "2"}, {"b/d/e", "3"}, {"b.txt", "4"}}})},
        {"names that look odd",
         artifact_body({.files = {{"...", "1"}, {"..a/b..", "2"}, {"ab:c", ""}}})},
        {"name in UTF-8", artifact_body({.files = {{"\xC3\xA4.txt", "1"}}})},
        {"name with quotes", artifact_body({.files = {{"a \"b\"", "1"}}})},
        {"another level", artifact_body({}, {.level = 19})},
        {"checksum and content size", artifact_body({}, {.checksum = true, .content_size = true})},
        {"window of 2^27", artifact_body({}, {.window_log = 27})},
        {"several frames",
         test::zstd_skippable("x") + zstd_frame(tar.substr(0, 700)) + zstd_frame(tar.substr(700))},
        {"ustar", zstd_frame(ustar + tar_end())},
        {"GNU long name",
         zstd_frame(head + test::gnu_long_name("outputs/" + long_path) + tar_file("cut", "x"))},
        {"pax path",
         zstd_frame(head + test::pax_header(test::pax_record("path", "outputs/" + long_path)) +
                    tar_file("cut", "x"))},
        {"ustar prefix",
         zstd_frame(metadata_member() + manifest_member(long_file) +
                    tar_member({.path = std::string(90, 'f'),
                                .content = "x",
                                .magic = test::kUstarMagic,
                                .prefix = "outputs/" + std::string(140, 'd')}))},
        {"outputs first",
         zstd_frame(outputs() + manifest_member() + metadata_member() + tar_end())},
        {"manifest in the middle",
         zstd_frame(tar_file("outputs/stdout.txt", "hello\n") + manifest_member() +
                    tar_file("outputs/stderr.txt", "") + metadata_member())},
        {"members elsewhere",
         artifact_body({.extra = tar_file("other.bin", "x") + tar_file("outputs2/x", "y") +
                                 tar_file("./outputs/x", "z") + tar_file("/outputs/x", "z")})},
        {"links elsewhere", with_member({.path = "link", .type = '2', .link = "/etc/passwd"})},
        {"unknown version",
         artifact_body({.metadata = kMetadata.substr(0, kMetadata.size() - 2) + "99}"})},
        {"no end blocks", zstd_frame(metadata_member() + manifest_member() + outputs())},
        {"data after the end", zstd_frame(tar + std::string(5000, 'x'))},
    };
    for (const auto& [name, body] : rows) {
      CAPTURE(name);
      const auto facts = verify(body);
      REQUIRE_MESSAGE(facts.has_value(), facts.error().message);
      CHECK(verify(body, 1).has_value());
    }
  }

  TEST_CASE("write: damaged and incomplete artifacts are refused") {
    check_rows({
        {"empty body", "", "the body is empty"},
        {"text", "not a valid artifact", "the body is not zstd data"},
        {"empty tar", zstd_frame(""), "the artifact has no metadata.json"},
        {"only zeros", zstd_frame(tar_end()), "the artifact has no metadata.json"},
        {"only outputs", zstd_frame(outputs()), "the artifact has no metadata.json"},
        {"no metadata",
         zstd_frame(manifest_member() + outputs()),
         "the artifact has no metadata.json"},
        {"no manifest",
         zstd_frame(metadata_member() + outputs()),
         "the artifact has no manifest.json"},
        {"metadata is not JSON",
         artifact_body({.metadata = "x"}),
         "metadata.json is not valid JSON at byte 1"},
        {"manifest is not JSON",
         artifact_body({.manifest = "x"}),
         "manifest.json is not valid JSON at byte 1"},
        {"cut tar", zstd_frame(artifact_tar().substr(0, 3000)), "the tar archive is cut short"},
        {"not a tar",
         zstd_frame(std::string(600, 'x')),
         "the tar archive has a header with a wrong checksum"},
        {"metadata comes twice",
         artifact_body({.extra = metadata_member()}),
         "\"metadata.json\" comes twice"},
        {"manifest comes twice",
         artifact_body({.extra = manifest_member()}),
         "\"manifest.json\" comes twice"},
        {"metadata again in another spelling",
         artifact_body({.extra = tar_file("metadata.json/", "")}),
         "\"metadata.json/\" is not a regular file"},
        {"manifest as a folder",
         artifact_body({.extra = tar_file("manifest.json/x", "")}),
         "\"manifest.json/x\" is not a regular file"},
        {"metadata as a link",
         zstd_frame(tar_member({.path = "metadata.json", .type = '2', .link = "x"})),
         "\"metadata.json\" is not a regular file"},
        {"huge metadata",
         zstd_frame(tar_file("metadata.json", std::string(kDocumentSizeMax + 1, ' '))),
         "\"metadata.json\" is larger than 1 MiB",
         Errc::too_large},
    });
  }

  TEST_CASE("write: an artifact of another key is refused") {
    const std::string other(40, 'f');
    check_rows({
        {"another key",
         artifact_body({.key = other}),
         "cache key mismatch: expected " + kKey + ", got \"" + other + "\""},
        {"no key",
         artifact_body({.key = ""}),
         "cache key mismatch: expected " + kKey + ", got \"\""},
    });
  }

  TEST_CASE("write: the key is compared with its case") {
    std::string upper = kKey;
    upper[1] = 'E';
    CHECK_FALSE(verify(artifact_body({.key = upper})).has_value());
  }

  TEST_CASE("write: files and manifest have to agree") {
    const std::string wrong = manifest_json({{"a", "other"}}, 1);
    const std::string mismatch = "file \"a\" hash mismatch: expected " +
                                 sha256(as_bytes("other")).hex() + ", got " +
                                 sha256(as_bytes("x")).hex();
    const NamedFiles one{{"a", "x"}};
    check_rows({
        {"wrong hash", artifact_body({.files = one, .manifest = wrong}), mismatch},
        {"wrong hash, manifest last",
         zstd_frame(metadata_member() + outputs(one) + tar_file("manifest.json", wrong)),
         mismatch},
        {"hash of an empty file",
         artifact_body({.files = {{"a", ""}}, .manifest = manifest_json({{"a", "x"}}, 0)}),
         "file \"a\" hash mismatch: expected " + sha256(as_bytes("x")).hex() + ", got " +
             sha256({}).hex()},
        {"file not listed",
         artifact_body({.extra = tar_file("outputs/more", "x")}),
         "file \"more\" is in the artifact but not in the manifest"},
        {"file not listed, manifest last",
         zstd_frame(metadata_member() + outputs() + tar_file("outputs/more", "") +
                    manifest_member()),
         "file \"more\" is in the artifact but not in the manifest"},
        {"listed file missing",
         zstd_frame(metadata_member() + manifest_member() +
                    tar_file("outputs/stdout.txt", "hello\n")),
         "file \"stderr.txt\" is in the manifest but not in the artifact"},
        {"file comes twice",
         artifact_body({.extra = tar_file("outputs/stderr.txt", "")}),
         "file \"stderr.txt\" comes twice"},
        {"file comes twice, manifest last",
         zstd_frame(metadata_member() + outputs() + outputs() + manifest_member()),
         "file \"stderr.txt\" comes twice"},
        {"file listed twice",
         artifact_body({.manifest = manifest_json({{"a", "x"}, {"a", "x"}})}),
         "file \"a\" is in the manifest twice"},
        {"total too small",
         artifact_body({.manifest = manifest_json(kFiles, 5)}),
         "the files are larger than total_size in the manifest"},
        {"total too small, manifest last",
         zstd_frame(metadata_member() + outputs() +
                    tar_file("manifest.json", manifest_json(kFiles, 5))),
         "the files are larger than total_size in the manifest"},
        {"total too large",
         artifact_body({.manifest = manifest_json(kFiles, 999'999)}),
         "total_size in the manifest is 999999, the files have 6"},
        {"total of no files",
         artifact_body({.files = {}, .manifest = manifest_json({}, 1)}),
         "total_size in the manifest is 1, the files have 0"},
        {"a file that is also a folder",
         artifact_body({.files = {{"a", "1"}, {"a!", "2"}, {"a/b", "3"}}}),
         "file \"a\" is also used as a directory"},
    });
  }

  TEST_CASE("write: paths that leave their folder or have two spellings are refused") {
    const std::string long_path(5000, 'p');
    check_rows({
        {"parent", one_file("../evil"), "file \"outputs/../evil\" leaves its directory"},
        {"parents inside",
         one_file("a/../../evil"),
         "file \"outputs/a/../../evil\" leaves its directory"},
        {"parent at the end", one_file("a/.."), "file \"outputs/a/..\" leaves its directory"},
        {"parent of Windows",
         one_file("a\\..\\..\\b"),
         "file \"outputs/a\\..\\..\\b\" leaves its directory"},
        {"absolute", one_file("/etc/passwd"), "file \"outputs//etc/passwd\" has an absolute path"},
        {"absolute of Windows", one_file("\\evil"), "file \"outputs/\\evil\" has an absolute path"},
        {"drive of Windows",
         one_file("C:\\evil"),
         "file \"outputs/C:\\evil\" has an absolute path"},
        {"empty component", one_file("a//b"), "file \"outputs/a//b\" has an empty path component"},
        {"dot component", one_file("a/./b"), "file \"outputs/a/./b\" has an empty path component"},
        {"bare outputs", with_member({.path = "outputs"}), "file \"outputs\" has no name"},
        {"too long",
         zstd_frame(test::gnu_long_name("outputs/" + long_path) + tar_file("cut", "")),
         "file " + quoted_for_message("outputs/" + long_path) + " has too long a path"},
    });
  }

  TEST_CASE("write: only regular files may lie under outputs/") {
    struct Row {
      const char* name;
      char type;
      const char* path;
    };
    const std::vector<Row> rows{
        {"hard link", '1', "outputs/ln"},
        {"symbolic link", '2', "outputs/ln"},
        {"character device", '3', "outputs/ln"},
        {"block device", '4', "outputs/ln"},
        {"directory", '5', "outputs/sub/"},
        {"directory without a slash", '5', "outputs/sub"},
        {"bare outputs/", '5', "outputs/"},
        {"directory before ustar", '\0', "outputs/sub/"},
        {"fifo", '6', "outputs/ln"},
        {"volume label", 'V', "outputs/ln"},
    };
    for (const auto& [name, type, path] : rows) {
      CAPTURE(name);
      const Error error = refusal(with_member({.path = path, .type = type, .link = "/etc"}));
      CHECK(error.message == "file \"" + std::string(path) + "\" is not a regular file");
    }
  }

  TEST_CASE("write: a link is refused although the manifest lists it as empty") {
    const std::string tar = metadata_member() + manifest_member({{"ln", ""}}) +
                            tar_member({.path = "outputs/ln", .type = '2', .link = "/etc"});
    CHECK(refusal(zstd_frame(tar)).message == "file \"outputs/ln\" is not a regular file");
  }

  TEST_CASE(
      "write: the number of files is limited, as is what an early file may make us remember") {
    const NamedFiles three{{"a", ""}, {"b", ""}, {"c", ""}};
    CHECK(verify(artifact_body({.files = three}), 4096, {.files_max = 3}).has_value());
    const auto beyond = verify(artifact_body({.files = three}), 4096, {.files_max = 2});
    REQUIRE_FALSE(beyond.has_value());
    CHECK(beyond.error().code == Errc::too_large);

    std::string many;
    for (int i = 0; i < 15'000; ++i) {
      many += tar_file("outputs/" + std::to_string(i), "");
    }
    const auto flood = verify(zstd_frame(many));
    REQUIRE_FALSE(flood.has_value());
    CHECK(flood.error().code == Errc::too_large);
    CHECK(flood.error().message == "the artifact has more files than a manifest of 1 MiB can list");
  }

  TEST_CASE("write: as many files as a manifest of 1 MiB lists are accepted") {
    NamedFiles files;
    for (int i = 0; i < 13'500; ++i) {
      files.emplace_back(std::to_string(i), "");
    }
    REQUIRE(manifest_json(files).size() > 1'000'000);
    CHECK(verify(artifact_body({.files = files})).has_value());
    CHECK(verify(zstd_frame(outputs(files) + manifest_member(files) + metadata_member()))
              .has_value());
  }

  TEST_CASE("write: an error comes before the rest of the body") {
    ZstdContextPool pool;
    ArtifactVerifier verifier(kKey, pool, {});
    const std::string body = zstd_frame(metadata_member(metadata_json("other")));
    bool refused = false;
    for (std::size_t i = 0; i < body.size() && !refused; ++i) {
      refused = !verifier.write(as_bytes(body).subspan(i, 1)).has_value();
    }
    CHECK(refused);
  }

  TEST_CASE("write: the limits of decoding hold") {
    const auto bomb = verify(test::zstd_zeros(64 * kMiB, {.window_log = 27}));
    REQUIRE_FALSE(bomb.has_value());
    // The first block of zeros ends the archive; the rest is still decoded.
    CHECK(bomb.error().code == Errc::too_large);
    const auto large = verify(artifact_body(), 100, {.decode = {.decoded_size_max = 1000}});
    REQUIRE_FALSE(large.has_value());
    CHECK(large.error().code == Errc::too_large);
  }

  TEST_CASE("write: without budget for a large window the artifact is unavailable, not wrong") {
    ZstdContextPool pool({.window_budget = 64 * kMiB});
    ArtifactVerifier verifier(kKey, pool, {});
    const auto result = verifier.write(as_bytes(artifact_body({}, {.window_log = 27})));
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Errc::unavailable);
  }

  TEST_CASE("write: a hostile name cannot make a long message") {
    const std::string name = "outputs/" + std::string(60'000, '\n');
    const Error error = refusal(zstd_frame(test::gnu_long_name(name) + tar_file("cut", "")));
    CHECK(error.message.size() < 300);
    CHECK(error.message.find('\n') == std::string::npos);
  }

  TEST_CASE("finish: every prefix of an artifact is refused") {
    const std::string body = artifact_body();
    for (std::size_t size = 0; size < body.size(); ++size) {
      CAPTURE(size);
      CHECK_FALSE(verify(std::string_view(body).substr(0, size)).has_value());
    }
  }

  TEST_CASE("finish: every prefix of a tar that cuts a needed member is refused") {
    const std::string tar = metadata_member() + manifest_member() + outputs();
    for (std::size_t size = 0; size < tar.size(); size += 100) {
      CAPTURE(size);
      CHECK_FALSE(verify(zstd_frame(std::string_view(tar).substr(0, size))).has_value());
    }
  }

  TEST_CASE("write: no flipped bit turns an artifact into another one") {
    // What the client would read out of an accepted artifact: the flip may only touch bytes that it
    // never looks at, such as a mode or what follows the end of the archive.
    const std::string tar = artifact_tar();
    const auto content_of = [](std::string_view bytes) {
      struct Reader : TarVisitor {
        Result<void> begin_entry(const TarEntry& entry) override {
          wanted = entry.path.starts_with("outputs/") || entry.path == "manifest.json";
          text += wanted ? entry.path + "=" : "";
          return {};
        }
        Result<void> entry_data(ByteSpan data) override {
          text += wanted ? as_text(data) : "";
          return {};
        }
        Result<void> end_entry() override { return {}; }
        bool wanted = false;
        std::string text;
      } reader;
      TarReader walk(reader);
      REQUIRE(walk.write(as_bytes(bytes)).has_value());
      return reader.text;
    };
    const std::string content = content_of(tar);
    for (std::size_t i = 0; i < tar.size(); ++i) {
      std::string flipped = tar;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
      if (verify(zstd_frame(flipped, {.level = -1})).has_value()) {
        CAPTURE(i);
        CHECK(content_of(flipped) == content);
      }
    }
  }

  TEST_CASE("write: no flipped byte of a body with a checksum changes what it decodes to") {
    struct Collector : ByteSink {
      Result<void> write(ByteSpan bytes) override {
        text += as_text(bytes);
        return {};
      }
      std::string text;
    };
    const std::string tar = artifact_tar();
    const std::string body = zstd_frame(tar, {.checksum = true});
    for (std::size_t i = 0; i < body.size(); ++i) {
      for (const int mask : {0x01, 0x80, 0xFF}) {
        std::string flipped = body;
        flipped[i] = static_cast<char>(flipped[i] ^ mask);
        if (verify(flipped).has_value()) {
          CAPTURE(i);
          Collector collector;
          ZstdContextPool pool;
          ZstdDecoder decoder(collector, pool, {});
          REQUIRE(decoder.write(as_bytes(flipped)).has_value());
          CHECK(collector.text == tar);
        }
      }
    }
  }
}

TEST_SUITE("protocols::polykit::unsafe_path_reason") {
  TEST_CASE("reason: ordinary names have none") {
    for (const std::string_view path :
         {"a", "a/b", ".hidden", "...", "a..b", "c", "ab:c", "a b", "~"}) {
      CAPTURE(path);
      CHECK_FALSE(unsafe_path_reason(path).has_value());
    }
  }

  TEST_CASE("reason: names that can hurt have one") {
    for (const std::string_view path : {"",
                                        "/",
                                        "/a",
                                        "\\a",
                                        "..",
                                        "../a",
                                        "a/..",
                                        "a\\..",
                                        "a/../b",
                                        "a//b",
                                        "a/",
                                        ".",
                                        "./a",
                                        "a/.",
                                        "c:",
                                        "C:/a",
                                        "a\\\\b"}) {
      CAPTURE(path);
      CHECK(unsafe_path_reason(path).has_value());
    }
  }
}

} // namespace
} // namespace pkc::protocols::polykit
