// Each rule is shown something bad and has to say so; a rule that finds nothing protects nothing.
#include "rules.hpp"
#include "tree.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace {

using pkc::lint::Finding;
using pkc::lint::Findings;
using pkc::lint::SourceFile;
using pkc::lint::Tree;

/// A clean tree of three modules for a bad file to be put into.
Tree clean_tree() {
  Tree tree;
  tree.layers = {{"base", {}},
                 {"blob", {"base"}},
                 {"locks", {"base"}},
                 {"http", {"base"}},
                 {"store", {"base", "blob", "locks"}},
                 {"protocols", {"base", "http", "store"}}};
  tree.top_level = {"README.md", "src", "include", "tests"};
  for (const char* header : {"include/pkc/base/bytes.hpp",
                             "include/pkc/blob/backend.hpp",
                             "include/pkc/blob/disk.hpp",
                             "include/pkc/locks/key_locks.hpp",
                             "include/pkc/locks/local.hpp",
                             "src/store/inside.hpp",
                             "src/protocols/nix/narinfo.hpp",
                             "src/protocols/object/routes.hpp",
                             "tests/support/temp_dir.hpp"}) {
    tree.files.emplace_back(header, "#pragma once\n");
  }
  tree.files.emplace_back("README.md", "# Title\n");
  for (const char* module : {"base", "blob", "http", "store"}) {
    tree.files.emplace_back(std::string("src/") + module + "/CMakeLists.txt", "x(a.cpp)\n");
  }
  tree.files.emplace_back("src/protocols/CMakeLists.txt", "x(nix/a.cpp\n  polykit/a.cpp)\n");
  tree.files.emplace_back("tests/CMakeLists.txt", "x(unit/test_a.cpp unit/test_a_impl.cpp)\n");
  tree.files.emplace_back("tests/fuzz/CMakeLists.txt", "pkc_fuzz(key MODULES store)\n");
  return tree;
}

Findings check(const Tree& tree) {
  Findings findings;
  for (const auto rules : {pkc::lint::include_rules(), pkc::lint::text_rules()}) {
    for (const pkc::lint::Rule& rule : rules) {
      rule.check(tree, findings);
    }
  }
  return findings;
}

Findings check_with(const char* path, std::string text) {
  Tree tree = clean_tree();
  std::erase_if(tree.files, [&](const SourceFile& file) { return file.path == path; });
  tree.files.emplace_back(path, std::move(text));
  return check(tree);
}

struct Sample {
  const char* name;
  const char* path;
  std::string text;
  const char* message; ///< part of the one finding; null when it is clean
};

const std::vector<Sample>& include_samples() {
  static const std::vector<Sample> samples{
      {"up a layer", "src/base/a.cpp", "#include \"pkc/blob/disk.hpp\"\n", "no direct dependency"},
      {"not direct", "src/http/a.cpp", "#include \"pkc/blob/disk.hpp\"\n", "no direct dependency"},
      {"direct", "src/blob/a.cpp", "#include \"pkc/base/bytes.hpp\"\n", nullptr},
      {"own", "src/blob/a.cpp", "#include \"pkc/blob/disk.hpp\"\n", nullptr},
      {"in a comment", "src/base/a.cpp", "// #include \"pkc/blob/disk.hpp\"\n", nullptr},
      {"protocol to storage",
       "src/protocols/nix/a.cpp",
       "#include \"pkc/blob/disk.hpp\"\n",
       "no direct dependency"},
      {"a factory in the store", "src/store/a.cpp", "#include \"pkc/blob/disk.hpp\"\n", "only"},
      {"other locks in the store", "src/store/a.cpp", "#include \"pkc/locks/local.hpp\"\n", "only"},
      {"the interface in the store",
       "src/store/a.cpp",
       "#include \"pkc/blob/backend.hpp\"\n",
       nullptr},
      {"protocol to protocol",
       "src/protocols/polykit/a.cpp",
       "#include \"nix/narinfo.hpp\"\n",
       "reaches into nix"},
      {"protocol to itself", "src/protocols/nix/a.cpp", "#include \"narinfo.hpp\"\n", nullptr},
      {"protocol to shared folder",
       "src/protocols/nix/a.cpp",
       "#include \"object/routes.hpp\"\n",
       nullptr},
      {"foreign private header",
       "src/http/a.cpp",
       "#include \"inside.hpp\"\n",
       "no private header"},
      {"own private header", "src/store/a.cpp", "#include \"inside.hpp\"\n", nullptr},
      {"way up", "src/http/a.cpp", "#include \"../store/inside.hpp\"\n", "no way up"},
      {"private in public",
       "include/pkc/base/bytes.hpp",
       "#pragma once\n#include \"inside.hpp\"\n",
       "public headers only"},
      {"test inside", "tests/unit/test_a.cpp", "#include \"inside.hpp\"\n", "test_<unit>_impl.cpp"},
      {"test that says so", "tests/unit/test_a_impl.cpp", "#include \"inside.hpp\"\n", nullptr},
      {"test support", "tests/unit/test_a.cpp", "#include \"support/temp_dir.hpp\"\n", nullptr},
      {"no such header", "src/blob/a.cpp", "#include \"pkc/base/gone.hpp\"\n", "no such public"},
      {"library away", "src/store/a.cpp", "#include <httplib.h>\n", "private to src/http/"},
      {"library at home", "src/http/a.cpp", "#include <httplib.h>\n", nullptr},
      {"library in public",
       "include/pkc/base/bytes.hpp",
       "#pragma once\n#include <zstd.h>\n",
       "private to src/base/"},
      {"unknown library", "src/base/a.cpp", "#include <boost/any.hpp>\n", "unknown library"},
      {"system", "src/base/a.cpp", "#include <sys/stat.h>\n#include <vector>\n", nullptr},
  };
  return samples;
}

const std::vector<Sample>& text_samples() {
  static const std::vector<Sample> samples{
      {"rename", "src/store/a.cpp", "std::filesystem::rename(a, b);\n", "FileSystem::rename"},
      {"remove_all", "src/store/a.cpp", "std::filesystem::remove_all(a);\n", "FileSystem::remove"},
      {"now", "src/store/a.cpp", "auto t = steady_clock::now();\n", "Clock"},
      {"now at home", "src/base/a.cpp", "auto t = steady_clock::now();\n", nullptr},
      {"rand", "src/store/a.cpp", "int x = std::rand();\n", "<random>"},
      {"system", "src/store/a.cpp", "std::system(\"ls\");\n", "posix_spawn"},
      {"longer name", "src/store/a.cpp", "posix_file_system();\n", nullptr},
      {"strtol", "src/store/a.cpp", "strtol(a, b, 10);\n", "from_chars"},
      {"atoi", "src/store/a.cpp", "atoi(a);\n", "from_chars"},
      {"detach", "src/store/a.cpp", "thread.detach();\n", "jthread"},
      {"endl", "src/store/a.cpp", "out << std::endl;\n", "flush"},
      {"in a literal", "src/store/a.cpp", "auto s = \"std::endl \\\" atoi(\";\n", nullptr},
      {"in a raw literal", "src/store/a.cpp", "auto s = R\"x(\natoi(1))x\";\n", nullptr},
      {"behind a raw literal", "src/store/a.cpp", "f(R\"(\")\", atoi(a));\n", "from_chars"},
      {"in a block comment", "src/store/a.cpp", "/* atoi(\n atoi( */\n", nullptr},
      {"behind a digit separator", "src/store/a.cpp", "f(1'000, atoi(a), '\"');\n", "from_chars"},
      {"foreign word", "src/store/a.cpp", "int http_status = 0;\n", "nothing of HTTP"},
      {"foreign word the other way", "src/http/a.cpp", "SidecarX x;\n", "nothing of the store"},
      {"open namespace",
       "src/store/inside.hpp",
       "#pragma once\nusing namespace std;\n",
       "name what is used"},
      {"no guard", "src/store/inside.hpp", "int f();\n", "#pragma once"},
      {"open end", "src/store/a.cpp", "// TODO: later\n", "open end"},
      {"open end with an issue", "src/store/a.cpp", "// TODO(#12): later\n", nullptr},
      {"open end without number", "src/store/a.cpp", "// TODO(#x): later\n", "open end"},
      {"broken", "packaging/a.cmake", "# FIXME\n", "open end"},
      {"long source", "src/store/a.cpp", std::string(601, '\n'), "the limit is 600"},
      {"longest source", "src/store/a.cpp", std::string(600, '\n'), nullptr},
      {"long header",
       "src/store/inside.hpp",
       "#pragma once\n" + std::string(300, '\n'),
       "the limit is 300"},
      {"tab", "packaging/a.cmake", "a\tb\n", "tab"},
      {"white space", "packaging/a.cmake", "a \n", "white space at the end"},
      {"no line end", "packaging/a.cmake", "a", "no line end"},
      {"two titles", "README.md", "# One\n# Two\n", "it has 2"},
      {"no title", "README.md", "text\n", "it has 0"},
      {"comment in a fence", "README.md", "# One\n```\n# no title\n```\n", nullptr},
      {"unregistered test", "tests/unit/test_b.cpp", "\n", "in no CMakeLists.txt"},
      {"unregistered source", "src/store/b.cpp", "\n", "in no CMakeLists.txt"},
      {"fuzz target", "tests/fuzz/key.cpp", "\n", nullptr},
      {"unregistered fuzz target", "tests/fuzz/ke.cpp", "\n", "in no CMakeLists.txt"},
      {"registered under a longer name", "src/store/b_a.cpp", "\n", "in no CMakeLists.txt"},
      {"no module", "include/pkc/misc/a.hpp", "#pragma once\n", "no module"},
  };
  return samples;
}

std::string text_of(const Findings& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    text += to_string(finding) + "\n";
  }
  return text;
}

void check_samples(const std::vector<Sample>& samples) {
  for (const Sample& sample : samples) {
    CAPTURE(std::string(sample.name));

    const Findings findings = check_with(sample.path, sample.text);

    const std::string text = text_of(findings);
    CAPTURE(text);
    if (sample.message == nullptr) {
      CHECK(findings.empty());
    } else {
      CHECK(findings.size() == 1);
      CHECK(text.find(sample.message) != std::string::npos);
    }
  }
}

} // namespace

TEST_SUITE("lint::Rules") {
  TEST_CASE("rules: a clean tree has no findings") {
    CHECK(text_of(check(clean_tree())) == "");
  }

  TEST_CASE("include rules: each finds its bad sample and no good one") {
    check_samples(include_samples());
  }

  TEST_CASE("text rules: each finds its bad sample and no good one") {
    check_samples(text_samples());
  }

  TEST_CASE("gates: config below app is found") {
    Tree tree = clean_tree();
    tree.layers["config"] = {"base"};
    tree.layers["store"].insert("config");

    CHECK(text_of(check(tree)).find("config is for app and cli") != std::string::npos);
  }

  TEST_CASE("gates: a protocol that depends on a storage layer is found") {
    Tree tree = clean_tree();
    tree.layers["protocols"].insert("blob");

    CHECK(text_of(check(tree)).find("not blob") != std::string::npos);
  }

  TEST_CASE("names: a new one at the top is found") {
    Tree tree = clean_tree();
    tree.top_level.emplace_back("docs");

    CHECK(text_of(check(tree)).find("closed") != std::string::npos);
  }

  TEST_CASE("findings: name the file and the line") {
    const Findings findings = check_with("src/store/a.cpp", "int x;\n\natoi(a);\n");

    REQUIRE(findings.size() == 1);
    CHECK(to_string(findings.front()).starts_with("src/store/a.cpp:3: "));
  }
}
