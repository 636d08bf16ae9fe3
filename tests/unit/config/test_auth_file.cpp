#include "support/temp_dir.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/config/auth_file.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace pkc::config {
namespace {

using test::TempDir;

/// "sha256:" and the digest of a token.
std::string hash_of(std::string_view token) {
  return "sha256:" + sha256(as_bytes(token)).hex();
}

/// A file with one token whose lines follow its name and hash.
std::string token_with(const std::string& lines) {
  return "tokens:\n- name: a\n  hash: " + hash_of("a") + "\n" + lines;
}

const std::string kGrants = "  grants: [{scopes: read}]\n";

AuthFile parse(const std::string& text) {
  auto file = parse_auth_file({.path = "auth.yaml", .text = text});
  if (!file) {
    for (const std::string& problem : file.error()) {
      MESSAGE(problem);
    }
  }
  REQUIRE(file.has_value());
  return *std::move(file);
}

Problems problems_of(const std::string& text) {
  const auto file = parse_auth_file({.path = "auth.yaml", .text = text});
  return file ? Problems{} : file.error();
}

AuthToken make_token(const std::string& name) {
  return {.name = name,
          .digest = sha256(as_bytes(name)),
          .grants = {{.scopes = {AuthScope::read}, .spaces = {}, .projects = {}}},
          .expires = std::nullopt,
          .user = {},
          .limits = {}};
}

AuthToken full_token() {
  return {
      .name = "full.Token_1@x-y",
      .digest = sha256(as_bytes("full")),
      .grants = {{.scopes = {AuthScope::read, AuthScope::write},
                  .spaces = {"nix", "polykit"},
                  .projects = {"acme/app", "#1:x-[y]{z}"}},
                 {.scopes = {AuthScope::metrics, AuthScope::admin}, .spaces = {}, .projects = {}}},
      .expires = parse_utc("2027-01-31T12:00:00Z"),
      .user = "ci user's # name",
      .limits = {.requests_per_second = 100,
                 .requests_burst = 300,
                 .read_bytes_per_second = 50 * kMiB,
                 .write_bytes_per_second = 1536 * kKiB,
                 .write_bytes_per_day = 10 * kGiB}};
}

std::string read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_SUITE("config::AuthFile") {
  TEST_CASE("parse: an empty file gives nobody any right") {
    for (const char* const text : {"", "# only a comment\n", "---\n", "tokens:\n", "{}"}) {
      CAPTURE(text);

      CHECK(parse(text) == AuthFile{});
    }
  }

  TEST_CASE("parse: everything a file may have") {
    const AuthFile file = parse(R"(
anonymous:
  - scopes: [read, metrics]
    spaces: nix
tokens:
  - name: ci
    hash: ")" + hash_of("ci") + R"("
    grants:
      - scopes: [read, write]
        spaces: [polykit, nix]
        projects:
          - acme/app
      - {scopes: [admin]}
    expires: 2027-01-31
    user: bob
    requests_per_second: 100
    requests_burst: 300
    read_bytes_per_second: 50M
    write_bytes_per_second: 1KiB
    write_bytes_per_day: 10GiB
  - {name: "1", hash: )" + hash_of("1") +
                                R"(, grants: [{scopes: [read]}]}
anonymous_limits:
  requests_per_second: 20
  write_bytes_per_second: 2MiB
)");

    REQUIRE(file.tokens.size() == 2);
    CHECK(file.anonymous == std::vector<AuthGrant>{{.scopes = {AuthScope::read, AuthScope::metrics},
                                                    .spaces = {"nix"},
                                                    .projects = {}}});
    const AuthToken& ci = file.tokens.front();
    CHECK(ci.name == "ci");
    CHECK(ci.digest == sha256(as_bytes("ci")));
    REQUIRE(ci.grants.size() == 2);
    CHECK(ci.grants.front() == AuthGrant{.scopes = {AuthScope::read, AuthScope::write},
                                         .spaces = {"polykit", "nix"},
                                         .projects = {"acme/app"}});
    CHECK(ci.grants.back() ==
          AuthGrant{.scopes = {AuthScope::admin}, .spaces = {}, .projects = {}});
    CHECK(ci.expires == parse_utc("2027-01-31T00:00:00Z"));
    CHECK(ci.user == "bob");
    CHECK(ci.limits == AuthLimits{.requests_per_second = 100,
                                  .requests_burst = 300,
                                  .read_bytes_per_second = 50 * kMiB,
                                  .write_bytes_per_second = 1 * kKiB,
                                  .write_bytes_per_day = 10 * kGiB});
    CHECK(file.anonymous_limits == AuthLimits{.requests_per_second = 20,
                                              .requests_burst = 0,
                                              .read_bytes_per_second = 0,
                                              .write_bytes_per_second = 2 * kMiB,
                                              .write_bytes_per_day = 0});
    CHECK(file.tokens.back().name == "1");
    CHECK_FALSE(file.tokens.back().expires.has_value());
  }

  TEST_CASE("parse: every mistake is told with its line") {
    const struct {
      std::string text;
      std::string problem;
    } rows[] = {
        {"token: []", "auth.yaml:1: unknown key \"token\" in the file; did you mean tokens?"},
        {"- a", "auth.yaml:1: the file must be a group of `key: value` lines"},
        {"text", "auth.yaml:1: the file must be a group of `key: value` lines"},
        {"tokens: yes", "auth.yaml:1: tokens must be a list: lines that begin with a dash"},
        {"tokens:\n- ci", "auth.yaml:2: a token must be a group of `key: value` lines"},
        {"tokens: []\ntokens: []", "auth.yaml:2: tokens is there twice, first on line 1"},
        {"tokens: []\n---\ntokens: []", "auth.yaml:2: a second document begins; one is enough"},
        {"tokens: [", "auth.yaml:1: not valid YAML: "},
        {"anonymous:\n- &a {scopes: read}\n- *a", "auth.yaml:3: an alias; write out what is meant"},
        {"anonymous:\n- scopes: !x read", "auth.yaml:2: a value with a tag"},
        {"? [a]\n: b", "auth.yaml:1: a key must be text"},
        {"anonymous:\n- scopes: [admin]", "auth.yaml:2: nobody can be admin without a token"},
        {"anonymous:\n- spaces: [nix]", "auth.yaml:2: a grant without scopes"},
        {"anonymous:\n- scopes:\n", "auth.yaml:2: scopes has no value"},
        {"anonymous:\n- scopes: []\n", "auth.yaml:2: scopes has no value"},
        {"anonymous:\n- scopes: [reed]",
         "auth.yaml:2: scopes: \"reed\" is none of read, write, metrics, admin"},
        {"anonymous:\n- scopes: [[read]]", "auth.yaml:2: scopes must be a list of texts"},
        {"anonymous:\n- scopes: read\n  space: nix",
         "auth.yaml:3: unknown key \"space\" in a grant; did you mean spaces?"},
        {"anonymous:\n- scopes: read\n  spaces: []", "auth.yaml:3: spaces has no value"},
        {"anonymous:\n- scopes: read\n  spaces: '*'",
         "auth.yaml:3: spaces: \"*\" is not 1 to 32 letters, digits and _-"},
        {"anonymous:\n- scopes: read\n  projects: [a b]",
         "auth.yaml:3: projects: \"a b\" is not 1 to 256 printable"},
        {"tokens:\n- hash: " + hash_of("a") + "\n" + kGrants,
         "auth.yaml:2: a token without a name"},
        {"tokens:\n- name: a\n" + kGrants, "auth.yaml:2: a token without a hash"},
        {token_with(""), "auth.yaml:2: a token without grants"},
        {token_with("  grants: []"), "auth.yaml:2: a token without grants"},
        {token_with(kGrants + "  expire: 2027-01-01"),
         "auth.yaml:5: unknown key \"expire\" in a token; did you mean expires?"},
        {token_with(kGrants + "  expires: soon"), "auth.yaml:5: expires must be a time such as"},
        {token_with(kGrants + "  expires: [x]"), "auth.yaml:5: expires must be a time such as"},
        {token_with(kGrants + "  user: 'a:b'"),
         "auth.yaml:5: user: \"a:b\" is not 1 to 128 characters without colons"},
        {token_with(kGrants + "  user: ''"), "auth.yaml:5: user: \"\" is not 1 to 128 characters"},
        {token_with(kGrants + "  requests_per_second: -1"),
         "auth.yaml:5: requests_per_second must be a whole number up to 1000000"},
        {token_with(kGrants + "  requests_per_second: 1.5"),
         "auth.yaml:5: requests_per_second must be a whole number"},
        {token_with(kGrants + "  requests_per_second: 1000001"),
         "auth.yaml:5: requests_per_second must be a whole number"},
        {token_with(kGrants + "  requests_per_second: {}"),
         "auth.yaml:5: requests_per_second must be a whole number"},
        {token_with(kGrants + "  requests_burst: 1"),
         "auth.yaml:5: requests_burst needs requests_per_second"},
        {token_with(kGrants + "  read_bytes_per_second: 1023"),
         "auth.yaml:5: read_bytes_per_second must be a size such as 10GiB, and at least 1KiB"},
        {token_with(kGrants + "  write_bytes_per_second: [1MiB]"),
         "auth.yaml:5: write_bytes_per_second must be a size"},
        {"anonymous_limits: [1]",
         "auth.yaml:1: anonymous_limits must be a group of `key: value` lines"},
        {"anonymous_limits:\n  write_bytes_per_dey: 1G",
         "auth.yaml:2: unknown key \"write_bytes_per_dey\" in anonymous_limits; did you mean "
         "write_bytes_per_day?"},
        {"anonymous_limits:\n  expires: 2027-01-01",
         "auth.yaml:2: unknown key \"expires\" in anonymous_limits"},
        {token_with(kGrants + "  write_bytes_per_day: much"),
         "auth.yaml:5: write_bytes_per_day must be a size such as 10GiB"},
        {token_with(kGrants + "- name: a\n  hash: " + hash_of("b") + "\n" + kGrants),
         "auth.yaml:5: two tokens are named \"a\", the first on line 2"},
        {token_with(kGrants + "- name: b\n  hash: " + hash_of("a") + "\n" + kGrants),
         "auth.yaml:5: this token has the hash of the one on line 2"},
        {"tokens: [{name: anonymous, hash: " + hash_of("a") + ", grants: [{scopes: read}]}]",
         "auth.yaml:1: name: \"anonymous\" stands for somebody without a token"},
        {"tokens: [{name: a b, hash: " + hash_of("a") + ", grants: [{scopes: read}]}]",
         "auth.yaml:1: name: \"a b\" is not 1 to 64 letters"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.text);

      const Problems problems = problems_of(row.text);

      REQUIRE(problems.size() == 1);
      CHECK(problems.front().substr(0, row.problem.size()) == row.problem);
    }
  }

  TEST_CASE("parse: mistakes are told together, but not without end") {
    CHECK(problems_of("tokns: []\nanonymous: 1\n").size() == 2);
    std::string many = "tokens:\n";
    for (int i = 0; i < 60; ++i) {
      many += "- x: 1\n"; // unknown key, no name, no hash, no grants
    }

    const Problems problems = problems_of(many);

    CHECK(problems.size() == 101);
    CHECK(problems.back() == "and 140 more problems");
  }

  TEST_CASE("parse: a token in the place of its hash is not repeated") {
    for (const std::string hash :
         {"pkc_secret-of-mine", "sha256:secret-of-mine", "[secret-of-mine]"}) {
      const Problems problems = problems_of("tokens:\n- name: a\n  hash: " + hash + "\n" + kGrants);

      REQUIRE(problems.size() == 1);
      CHECK(problems.front().starts_with("auth.yaml:3: hash must be sha256: and 64"));
      CHECK_FALSE(problems.front().contains("secret-of-mine"));
    }
  }

  TEST_CASE("parse: deep nesting and floods of keys end") {
    const std::string deep = std::string(400, '[') + std::string(400, ']');
    std::string wide = "tokens: [{";
    for (int i = 0; i < 20'000; ++i) {
      wide += "k" + std::to_string(i) + ": 1, ";
    }

    CHECK_FALSE(problems_of("tokens: " + deep).empty());
    CHECK_FALSE(problems_of("? " + deep + "\n: 1").empty());
    CHECK_FALSE(problems_of(wide + "}]").empty());
    CHECK_FALSE(problems_of(std::string(kConfigFileSizeMax + 1, '#')).empty());
  }
}

TEST_SUITE("config::AuthFile edits") {
  TEST_CASE("with_token: makes a file, and what it writes reads as it was meant") {
    auto text = with_token({.path = "f", .text = ""}, full_token());
    REQUIRE(text.has_value());
    CHECK(text->starts_with("# The tokens of polykit-cache"));
    text = with_token({.path = "f", .text = *text}, make_token("second"));
    REQUIRE(text.has_value());

    CHECK(parse(*text).tokens == std::vector<AuthToken>{full_token(), make_token("second")});
  }

  TEST_CASE("edits: leave everything else as it is") {
    const std::string head = "# mine\nanonymous:\n  - scopes: read # all may\n\n";
    const std::string first = "    # the first\n    - hash: " + hash_of("x") +
                              "\n      name: x # hash first\n      grants:\n"
                              "      - scopes:\n        - read\n";
    const std::string second = "    # the second\n    - name: y\n      hash: " + hash_of("y") +
                               "\n      grants: [{scopes: read}]";
    const ConfigFile file{.path = "f", .text = head + "tokens: # list\n" + first + second};

    const auto more = with_token(file, make_token("z"));
    REQUIRE(more.has_value());
    CHECK(more->starts_with(file.text + "\n    - name: \"z\"\n      hash: "));
    CHECK(parse(*more).tokens.size() == 3);
    CHECK(without_token({.path = "f", .text = *more}, "z") == file.text + "\n");
    CHECK(without_token(file, "y") == head + "tokens: # list\n" + first + "    # the second\n");
    CHECK(without_token(file, "x") == head + "tokens: # list\n    # the first\n" + second);
  }

  TEST_CASE("with_token: finds its place in files without tokens") {
    const std::string grants = "anonymous:\n- scopes: read\n";
    for (const std::string text : {"# note\n",
                                   "tokens:\n",
                                   "tokens:",
                                   "tokens: []\n",
                                   "tokens: [] # none yet\n",
                                   "tokens: # see [] there\n",
                                   "tokens:\nanonymous:\n- scopes: read\n",
                                   "tokens: []\nanonymous:\n- scopes: read\n",
                                   "anonymous:\n- scopes: read\ntokens:\n",
                                   "anonymous:\n- scopes: read"}) {
      CAPTURE(text);

      const auto edited = with_token({.path = "f", .text = text}, make_token("a"));

      REQUIRE(edited.has_value());
      CHECK(parse(*edited).tokens == std::vector<AuthToken>{make_token("a")});
      CHECK(parse(*edited).anonymous == parse(text).anonymous);
      const auto back = without_token({.path = "f", .text = *edited}, "a");
      REQUIRE(back.has_value());
      CHECK(parse(*back) == parse(text));
    }
  }

  TEST_CASE("edits: what cannot be edited by lines is left alone and said so") {
    const std::string flow =
        "tokens: [{name: a, hash: " + hash_of("a") + ", grants: [{scopes: read}]}]";
    const std::string lone_dash =
        "tokens:\n-\n  name: a\n  hash: " + hash_of("a") + "\n  grants: [{scopes: read}]\n";
    const std::string brackets = "tokens:\n- name: a\n  hash: " + hash_of("a") +
                                 "\n  grants: [{scopes: [read\n    ]}\n  ]\n";
    for (const std::string& text : {flow, lone_dash, brackets, std::string("{}")}) {
      CAPTURE(text);
      const ConfigFile file{.path = "f", .text = text};
      REQUIRE(problems_of(text).empty());

      const auto more = with_token(file, make_token("z"));
      const auto less = without_token(file, "a");

      CHECK_FALSE(more.has_value());
      CHECK_FALSE(less.has_value());
      CHECK(more.error().front().starts_with("f: is written in a way that this command"));
    }
  }

  TEST_CASE("edits: names that are there, names that are not, and broken files") {
    const ConfigFile file{.path = "f", .text = token_with(kGrants)};
    CHECK(with_token(file, make_token("a")).error().front() ==
          "f: there is already a token named \"a\"");
    CHECK(without_token(file, "b").error().front() == "f: there is no token named \"b\"");
    const ConfigFile broken{.path = "f", .text = "tokns:\n"};
    CHECK(with_token(broken, make_token("a")).error().front().starts_with("f:1: unknown key"));
    CHECK(without_token(broken, "a").error().front().starts_with("f:1: unknown key"));
  }
}

TEST_SUITE("config::AuthFile on the disk") {
  std::expected<void, Problems> add(const std::string& path, const std::string& name) {
    return edit_auth_file(path, Absent::is_empty, posix_file_system(), [&](const ConfigFile& file) {
      return with_token(file, make_token(name));
    });
  }

  struct stat status_of(const std::string& path) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status;
  }

  TEST_CASE("load: absent, writable by everybody, a link, a directory") {
    const TempDir dir;
    CHECK(load_auth_file(dir / "none", posix_file_system())
              .error()
              .front()
              .contains("there is no such file"));
    CHECK_FALSE(load_auth_file(dir.path(), posix_file_system()).has_value());
    std::ofstream(dir / "f") << token_with(kGrants);
    ::chmod((dir / "f").c_str(), 0664);
    REQUIRE(::symlink("f", (dir / "link").c_str()) == 0);

    CHECK(load_auth_file(dir / "f", posix_file_system())->tokens.size() == 1);
    CHECK(load_auth_file(dir / "link", posix_file_system())->tokens.size() == 1);
    ::chmod((dir / "f").c_str(), 0666);
    CHECK(load_auth_file(dir / "f", posix_file_system()).error().front() ==
          dir / "f" + ": everybody may write to it, and so make tokens: chmod o-w");
  }

  TEST_CASE("edit: a new file is ours alone, an old one keeps its mode, and a link stays one") {
    const TempDir dir;
    REQUIRE(::symlink("f", (dir / "link").c_str()) == 0);
    REQUIRE(add(dir / "f", "a"));
    CHECK((status_of(dir / "f").st_mode & 07777) == 0600);
    ::chmod((dir / "f").c_str(), 0640);

    REQUIRE(add(dir / "link", "b"));

    CHECK((status_of(dir / "f").st_mode & 07777) == 0640);
    CHECK(load_auth_file(dir / "f", posix_file_system())->tokens.size() == 2);
    struct stat link{};
    REQUIRE(::lstat((dir / "link").c_str(), &link) == 0);
    CHECK(S_ISLNK(link.st_mode));
  }

  TEST_CASE("edit: keeps the owner where we may give files away") {
    const TempDir dir;
    REQUIRE(add(dir / "f", "a"));
    if (::geteuid() != 0) {
      MESSAGE("NOT ROOT: that the owner is kept is not tested here");
      return;
    }
    REQUIRE(::chown((dir / "f").c_str(), 12345, 23456) == 0);

    REQUIRE(add(dir / "f", "b"));

    CHECK(status_of(dir / "f").st_uid == 12345);
    CHECK(status_of(dir / "f").st_gid == 23456);
  }

  TEST_CASE(
      "edit: one that fails, or is refused, leaves the file as it was and nothing beside it") {
    const TempDir dir;
    REQUIRE(add(dir / "f", "a"));
    const std::string before = read(dir / "f");

    CHECK_FALSE(add(dir / "f", "a"));
    CHECK_FALSE(add(dir / "none/f", "a"));
    CHECK_FALSE(edit_auth_file(
        dir / "g", Absent::is_problem, posix_file_system(), [](const ConfigFile& file) {
          return std::expected<std::string, Problems>(file.text);
        }));

    CHECK(read(dir / "f") == before);
    CHECK(posix_file_system().list(dir.path())->value().size() == 1);
  }

  TEST_CASE("edit: what a killed edit left behind is in nobody's way") {
    const TempDir dir;
    REQUIRE(add(dir / "f", "a"));
    std::ofstream(dir / "f.new") << "half";

    CHECK(add(dir / "f", "b"));

    CHECK(posix_file_system().list(dir.path())->value().size() == 1);
  }

  TEST_CASE("edit: of many at once none is lost, and no reader sees half a file") {
    const TempDir dir;
    REQUIRE(add(dir / "f", "first"));
    std::atomic<int> failed = 0;
    std::atomic<bool> done = false;
    std::jthread reader([&] {
      while (!done) {
        failed += load_auth_file(dir / "f", posix_file_system()) ? 0 : 1;
      }
    });
    {
      std::vector<std::jthread> writers;
      writers.reserve(4);
      for (int writer = 0; writer < 4; ++writer) {
        writers.emplace_back([&, writer] {
          for (int i = 0; i < 10; ++i) {
            failed += add(dir / "f", std::to_string(writer) + "-" + std::to_string(i)) ? 0 : 1;
          }
        });
      }
    }
    done = true;
    reader.join();

    CHECK(failed == 0);
    CHECK(load_auth_file(dir / "f", posix_file_system())->tokens.size() == 41);
  }
}

} // namespace
} // namespace pkc::config
