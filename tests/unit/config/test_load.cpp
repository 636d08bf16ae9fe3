#include "support/temp_dir.hpp"

#include "pkc/config/settings.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace pkc::config {
namespace {

using namespace std::chrono_literals;

LoadedSettings load(const Sources& sources) {
  auto loaded = load_settings(sources);
  if (!loaded) {
    for (const std::string& problem : loaded.error()) {
      MESSAGE(problem);
    }
  }
  REQUIRE(loaded.has_value());
  return *std::move(loaded);
}

Problems problems_of(const Sources& sources) {
  const auto loaded = load_settings(sources);
  REQUIRE_FALSE(loaded.has_value());
  return loaded.error();
}

Sources from_flag(std::string name, std::string value) {
  return Sources{
      .flags = {{std::move(name), std::move(value)}}, .environment = {}, .file = std::nullopt};
}

Sources from_file(std::string path, std::string text) {
  return Sources{.flags = {},
                 .environment = {},
                 .file = ConfigFile{.path = std::move(path), .text = std::move(text)}};
}

std::string origin_of(const LoadedSettings& loaded, std::string_view name) {
  const auto found =
      std::ranges::find(loaded.origins, name, &std::pair<std::string_view, Origin>::first);
  REQUIRE(found != loaded.origins.end());
  return found->second.text();
}

TEST_SUITE("config::load_settings") {
  TEST_CASE("load: nothing set gives the documented defaults") {
    const Settings settings = load({}).settings;

    CHECK(settings.config_file.empty());
    CHECK(settings.storage_dir == "./cache");
    CHECK(settings.durability == Durability::full);
    CHECK(settings.verify_reads == VerifyReads::first);
    CHECK(settings.verify_ahead_max == 4 * kMiB);
    CHECK(settings.entry_cache_max == 100'000);
    CHECK(settings.open_files_max == 512);
    CHECK(settings.bind == "127.0.0.1");
    CHECK(settings.port == 8080);
    CHECK(settings.trusted_proxies.empty());
    CHECK(settings.tls_cert.empty());
    CHECK(settings.tls_key.empty());
    CHECK(settings.tls_client_ca.empty());
    CHECK(settings.tls_client_auth == TlsClientAuth::required);
    CHECK(settings.auth_file.empty());
    CHECK(settings.audit_log);
    CHECK(settings.max_connections == 10'000);
    CHECK(settings.max_connections_per_client == 1000);
    CHECK(settings.workers_min == 4);
    CHECK(settings.workers_max == 256);
    CHECK(settings.max_uploads == 192);
    CHECK(settings.max_size == 1'073'741'824);
    CHECK(settings.max_decoded_size == 16 * kGiB);
    CHECK(settings.max_decode_ratio == 2048);
    CHECK(settings.max_artifact_files == 1'000'000);
    CHECK(settings.max_head_size == 32 * kKiB);
    CHECK(settings.head_timeout == 10s);
    CHECK(settings.body_timeout == 30s);
    CHECK(settings.write_timeout == 30s);
    CHECK(settings.min_transfer_rate == 1 * kKiB);
    CHECK(settings.idle_timeout == 75s);
    CHECK(settings.shutdown_grace == 30s);
    CHECK(settings.log_level == LogLevel::info);
    CHECK(settings.access_log);
  }

  TEST_CASE("load: flags beat the environment, which beats the file, which beats the default") {
    Sources sources = from_file("s.yaml", "port: 1\nbind: file\nstorage_dir: file\n");
    sources.environment = {{"POLYKIT_CACHE_PORT", "2"}, {"POLYKIT_CACHE_BIND", "environment"}};
    sources.flags = {{"port", "3"}};

    const LoadedSettings loaded = load(sources);

    CHECK(loaded.settings.port == 3);
    CHECK(loaded.settings.bind == "environment");
    CHECK(loaded.settings.storage_dir == "file");
    CHECK(origin_of(loaded, "port") == "flag --port");
    CHECK(origin_of(loaded, "bind") == "environment POLYKIT_CACHE_BIND");
    CHECK(origin_of(loaded, "storage-dir") == "file s.yaml:3");
    CHECK(origin_of(loaded, "max-size") == "default");
  }

  TEST_CASE("load: every type is read as an operator writes it") {
    struct Row {
      std::string name;
      std::string value;
      bool (*holds)(const Settings&);
    };
    const std::vector<Row> rows = {
        {"max-size", "1073741824", [](const Settings& s) { return s.max_size == kGiB; }},
        {"max-size", "5GiB", [](const Settings& s) { return s.max_size == 5 * kGiB; }},
        {"max-size", "5G", [](const Settings& s) { return s.max_size == 5 * kGiB; }},
        {"max-size", "0", [](const Settings& s) { return s.max_size == 0; }},
        {"max-size",
         "18446744073709551615",
         [](const Settings& s) { return s.max_size == ~ByteCount{0}; }},
        {"port", "0", [](const Settings& s) { return s.port == 0; }},
        {"port", "65535", [](const Settings& s) { return s.port == 65535; }},
        {"shutdown-grace", "0", [](const Settings& s) { return s.shutdown_grace == 0ms; }},
        {"shutdown-grace", "2", [](const Settings& s) { return s.shutdown_grace == 2s; }},
        {"idle-timeout", "250ms", [](const Settings& s) { return s.idle_timeout == 250ms; }},
        {"idle-timeout", "10m", [](const Settings& s) { return s.idle_timeout == 10min; }},
        {"access-log", "false", [](const Settings& s) { return !s.access_log; }},
        {"log-level", "trace", [](const Settings& s) { return s.log_level == LogLevel::trace; }},
        {"log-level", "debug", [](const Settings& s) { return s.log_level == LogLevel::debug; }},
        {"log-level", "warn", [](const Settings& s) { return s.log_level == LogLevel::warn; }},
        {"log-level", "error", [](const Settings& s) { return s.log_level == LogLevel::error; }},
        {"durability", "none", [](const Settings& s) { return s.durability == Durability::none; }},
        {"durability", "file", [](const Settings& s) { return s.durability == Durability::file; }},
        {"verify-reads",
         "always",
         [](const Settings& s) { return s.verify_reads == VerifyReads::always; }},
        {"verify-reads",
         "never",
         [](const Settings& s) { return s.verify_reads == VerifyReads::never; }},
        {"storage-dir", "a dir", [](const Settings& s) { return s.storage_dir == "a dir"; }},
        {"bind",
         "unix:/run/s",
         [](const Settings& s) { return s.bind == "unix:/run/s" && s.socket_mode == 0660; }},
        {"socket-mode", "600", [](const Settings& s) { return s.socket_mode == 0600; }},
        {"socket-mode", "0777", [](const Settings& s) { return s.socket_mode == 0777; }},
        {"trusted-proxies", "", [](const Settings& s) { return s.trusted_proxies.empty(); }},
        {"trusted-proxies",
         "unix",
         [](const Settings& s) { return s.trusted_proxies == std::vector<std::string>{"unix"}; }},
        {"trusted-proxies",
         "10.0.0.0/8, ::1,fd00::/8",
         [](const Settings& s) {
           return s.trusted_proxies == std::vector<std::string>{"10.0.0.0/8", "::1", "fd00::/8"};
         }},
    };

    for (const Row& row : rows) {
      CAPTURE(row.name);
      CAPTURE(row.value);
      CHECK(row.holds(load(from_flag(row.name, row.value)).settings));
    }
  }

  TEST_CASE("load: a bad value is refused with its place and what would be right") {
    struct Row {
      std::string name;
      std::string value;
      std::string problem;
    };
    const std::vector<Row> rows = {
        {"port", "65536", R"(--port: "65536" is more than 65535, the maximum)"},
        {"port",
         "99999999999999999999",
         R"(--port: "99999999999999999999" is more than 65535, the maximum)"},
        {"port", "-1", R"(--port: "-1" is not a whole number)"},
        {"port", "", R"(--port: "" is not a whole number)"},
        {"port", "80a", R"(--port: "80a" is not a whole number)"},
        {"workers-min", "0", R"(--workers-min: "0" is less than 1, the minimum)"},
        {"max-size",
         "1.5G",
         R"(--max-size: "1.5G" is not a size up to 16 EiB such as 1073741824, 512KiB or 5GiB)"},
        {"max-head-size", "1000", R"(--max-head-size: "1000" is less than 1KiB, the minimum)"},
        {"head-timeout",
         "soon",
         R"(--head-timeout: "soon" is not a duration such as 500ms, 30s, 10m, 2h or 1d)"},
        {"head-timeout", "25h", R"(--head-timeout: "25h" is more than 1d, the maximum)"},
        {"log-level",
         "warning",
         R"(--log-level: "warning" is none of trace, debug, info, warn, error)"},
        {"log-level", "INFO", R"(--log-level: "INFO" is none of trace, debug, info, warn, error)"},
        {"bind", "", R"(--bind: "" must not be empty)"},
        {"bind", "unix:s", R"(--bind: "unix:s" has no absolute path behind unix:)"},
        {"socket-mode", "0x1", R"(--socket-mode: "0x1" is not an octal mode from 000 to 0777)"},
        {"socket-mode", "1777", R"(--socket-mode: "1777" is not an octal mode from 000 to 0777)"},
        {"socket-mode", "68", R"(--socket-mode: "68" is not an octal mode from 000 to 0777)"},
        {"access-log", "yes", R"(--access-log: "yes" is neither true nor false)"},
        {"storage-dir", "", R"(--storage-dir: "" must not be empty)"},
        {"bind", "", R"(--bind: "" must not be empty)"},
        {"trusted-proxies",
         "proxy.example",
         R"(--trusted-proxies: "proxy.example" is not an IP address or a block such as 10.0.0.0/8)"},
        {"trusted-proxies",
         "10.0.0.0/33",
         R"(--trusted-proxies: "10.0.0.0/33" has no prefix length from 0 to 32 behind its slash)"},
        {"trusted-proxies", "10.0.0.1,", R"(--trusted-proxies: "10.0.0.1," has an empty element)"},
        {"port", "1\n2\x1b", R"(--port: "1?2?" is not a whole number)"},
    };

    for (const Row& row : rows) {
      CHECK(problems_of(from_flag(row.name, row.value)) == Problems{row.problem});
    }
  }

  TEST_CASE("load: an unknown name is refused in every source, with the nearest known one") {
    CHECK(problems_of(from_flag("prot", "1")) ==
          Problems{"unknown flag --prot; did you mean --port?"});
    CHECK(problems_of(from_flag("storage", "x")) == Problems{"unknown flag --storage"});
    CHECK(problems_of(from_file("s.yaml", "max_sise: 1\n")) ==
          Problems{R"(s.yaml:1: unknown setting "max_sise"; did you mean max_size?)"});
    CHECK(problems_of({.flags = {},
                       .environment = {{"POLYKIT_CACHE_LOGLEVEL", "info"}},
                       .file = std::nullopt}) ==
          Problems{"unknown environment variable POLYKIT_CACHE_LOGLEVEL; did you mean "
                   "POLYKIT_CACHE_LOG_LEVEL?"});
  }

  TEST_CASE("load: a variable is known by its exact name only") {
    CHECK(problems_of(
              {.flags = {}, .environment = {{"POLYKIT_CACHE_port", "1"}}, .file = std::nullopt}) ==
          Problems{
              "unknown environment variable POLYKIT_CACHE_port; did you mean POLYKIT_CACHE_PORT?"});
  }

  TEST_CASE("load: variables of others are none of our business") {
    const LoadedSettings loaded =
        load({.flags = {},
              .environment = {{"PATH", "/bin"}, {"PORT", "1"}, {"POLYKIT_CACHE", "x"}},
              .file = std::nullopt});

    CHECK(loaded.settings.port == 8080);
  }

  TEST_CASE(
      "load: the variables that Kubernetes makes for a service of our name are not settings") {
    const LoadedSettings loaded =
        load({.flags = {},
              .environment = {{"POLYKIT_CACHE_PORT", "tcp://10.96.0.7:8080"},
                              {"POLYKIT_CACHE_SERVICE_HOST", "10.96.0.7"},
                              {"POLYKIT_CACHE_SERVICE_PORT", "8080"},
                              {"POLYKIT_CACHE_SERVICE_PORT_HTTP", "8080"},
                              {"POLYKIT_CACHE_PORT_8080_TCP", "tcp://10.96.0.7:8080"},
                              {"POLYKIT_CACHE_PORT_8080_TCP_ADDR", "10.96.0.7"}},
              .file = std::nullopt});

    CHECK(loaded.settings.port == 8080);
    CHECK(origin_of(loaded, "port") == "default");
  }

  TEST_CASE("load: a setting that means nothing without another one needs it") {
    Sources alone;
    alone.flags = {{"tls-key", "k"}, {"tls-client-ca", "a"}};
    Sources together;
    together.flags = {{"tls-key", "k"}, {"tls-cert", "c"}, {"tls-client-ca", "a"}};

    CHECK(problems_of(alone) ==
          Problems{"tls-key (flag --tls-key) needs tls-cert, which is not set",
                   "tls-client-ca (flag --tls-client-ca) needs tls-cert, which is not set"});
    CHECK(load(together).settings.tls_cert == "c");
  }

  TEST_CASE("load: all problems of all sources are reported at once, overridden ones too") {
    Sources sources = from_file("s.toml", "port = 70000\ncolour = 1\n");
    sources.environment = {{"POLYKIT_CACHE_PORT", "x"}, {"POLYKIT_CACHE_ZZZZ", ""}};
    sources.flags = {{"port", "8080"}, {"log-level", "loud"}, {"workers-max", "2"}};

    CHECK(problems_of(sources) ==
          Problems{R"(s.toml:1: port: "70000" is more than 65535, the maximum)",
                   R"(s.toml:2: unknown setting "colour")",
                   R"(POLYKIT_CACHE_PORT: "x" is not a whole number)",
                   "unknown environment variable POLYKIT_CACHE_ZZZZ",
                   R"(--log-level: "loud" is none of trace, debug, info, warn, error)",
                   "workers-min (4, default) is more than workers-max (2, flag --workers-max)"});
  }

  TEST_CASE("load: the number of problems is bounded") {
    std::string text;
    for (int number = 0; number < 1000; ++number) {
      text += "unknown_" + std::to_string(number) + ": 1\n";
    }

    const Problems problems = problems_of(from_file("s.yaml", text));

    CHECK(problems.size() == 101);
    CHECK(problems.back() == "and 900 more problems");
  }

  TEST_CASE("load: a flag given twice is a problem") {
    CHECK(problems_of(
              {.flags = {{"port", "1"}, {"port", "1"}}, .environment = {}, .file = std::nullopt}) ==
          Problems{"--port is given more than once"});
  }

  TEST_CASE("load: the three formats say the same") {
    const std::vector<ConfigFile> files = {
        {"s.yaml",
         "# comment\n"
         "storage_dir: /srv/cache\n"
         "max-size: 5GiB\n"
         "port: 9000\n"
         "shutdown_grace: 10m\n"
         "idle_timeout: 5\n"
         "access_log: false\n"
         "durability: \"file\"\n"
         "trusted_proxies: [10.0.0.0/8, \"::1\"]\n"},
        {"s.toml",
         "# comment\n"
         "storage_dir = \"/srv/cache\"\n"
         "max-size = \"5GiB\"\n"
         "port = 9000\n"
         "shutdown_grace = \"10m\"\n"
         "idle_timeout = 5\n"
         "access_log = false\n"
         "durability = \"file\"\n"
         "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n"},
        {"s.json",
         "{\n"
         "\"storage_dir\": \"/srv/cache\",\n"
         "\"max-size\": \"5GiB\",\n"
         "\"port\": 9000,\n"
         "\"shutdown_grace\": \"10m\",\n"
         "\"idle_timeout\": 5,\n"
         "\"access_log\": false,\n"
         "\"durability\": \"file\",\n"
         "\"trusted_proxies\": [\"10.0.0.0/8\", \"::1\"]}\n"},
    };

    for (const ConfigFile& file : files) {
      CAPTURE(file.path);
      const LoadedSettings loaded = load({.flags = {}, .environment = {}, .file = file});
      CHECK(loaded.settings.storage_dir == "/srv/cache");
      CHECK(loaded.settings.max_size == 5 * kGiB);
      CHECK(loaded.settings.port == 9000);
      CHECK(loaded.settings.shutdown_grace == 10min);
      CHECK(loaded.settings.idle_timeout == 5s);
      CHECK_FALSE(loaded.settings.access_log);
      CHECK(loaded.settings.durability == Durability::file);
      CHECK(loaded.settings.trusted_proxies == std::vector<std::string>{"10.0.0.0/8", "::1"});
      CHECK(origin_of(loaded, "port") == "file " + file.path + ":4");
    }
  }

  TEST_CASE("load: the file that the flag or the variable names is read") {
    const test::TempDir dir;
    const std::string path = dir / "server.json";
    std::ofstream(path) << R"({"port": 7})";

    const auto by_flag = load_settings(from_flag("config", path), posix_file_system());
    const auto by_variable = load_settings(
        Sources{.flags = {}, .environment = {{"POLYKIT_CACHE_CONFIG", path}}, .file = std::nullopt},
        posix_file_system());

    REQUIRE(by_flag.has_value());
    CHECK(by_flag->settings.port == 7);
    REQUIRE(by_variable.has_value());
    CHECK(by_variable->settings.port == 7);
  }

  TEST_CASE("load: a file that is named by a link is read") {
    const test::TempDir dir;
    std::ofstream(dir / "data.json") << R"({"port": 7})";
    std::filesystem::create_symlink("data.json", dir / "server.json");

    const auto loaded =
        load_settings(from_flag("config", dir / "server.json"), posix_file_system());

    REQUIRE(loaded.has_value());
    CHECK(loaded->settings.port == 7);
  }

  TEST_CASE("load: a file that cannot be read is one problem among the others") {
    const test::TempDir dir;
    Sources sources = from_flag("config", dir / "absent.yaml");
    sources.flags.emplace_back("port", "x");

    const auto loaded = load_settings(sources, posix_file_system());

    REQUIRE_FALSE(loaded.has_value());
    CHECK(loaded.error() == Problems{dir / "absent.yaml: cannot be read: there is no such file",
                                     R"(--port: "x" is not a whole number)"});
  }

  TEST_CASE("load: a file over the limit is refused, one at the limit is read") {
    const test::TempDir dir;
    const std::string path = dir / "large.yaml";
    std::ofstream(path) << "port: 7\n#" << std::string(kConfigFileSizeMax - 9, 'x');
    const auto at_limit = load_settings(from_flag("config", path), posix_file_system());
    std::ofstream(path, std::ios::app) << "x";
    const auto over_limit = load_settings(from_flag("config", path), posix_file_system());

    REQUIRE(at_limit.has_value());
    CHECK(at_limit->settings.port == 7);
    REQUIRE_FALSE(over_limit.has_value());
    CHECK(over_limit.error() == Problems{path + ": the file is larger than 1MiB"});
  }
}

} // namespace
} // namespace pkc::config
