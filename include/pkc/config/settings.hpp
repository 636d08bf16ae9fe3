// Settings: everything an operator can decide, and where each decision came from.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::config {

enum class LogLevel {
  trace,
  debug,
  info,
  warn,
  error
};

/// How a log line is written.
enum class LogFormat {
  text,
  json
};

/// How much an acknowledged upload survives.
enum class Durability {
  none,
  file,
  full
};

/// When stored bytes are checked on their way out.
enum class VerifyReads {
  first,
  always,
  never
};

/// Whether a client must show a certificate.
enum class TlsClientAuth {
  required,
  optional
};

/// The settings, typed and within their ranges. The table in src/config/settings.cpp says what each
/// is for and what its default is; an object made without load_settings() or default_settings()
/// holds zeros.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): there is one, ordered for its readers
struct Settings {
  std::string config_file; ///< empty: none

  std::string storage_dir;
  Durability durability{};
  VerifyReads verify_reads{};
  ByteCount verify_ahead_max = 0;
  ByteCount quarantine_max_size = 0;
  std::chrono::milliseconds scrub_interval{}; ///< 0: no scrub
  ByteCount scrub_rate = 0;                   ///< bytes per second
  std::size_t entry_cache_max = 0;
  std::size_t open_files_max = 0;

  ByteCount cache_max_size = 0;                                 ///< 0: no limit
  std::map<std::string, ByteCount, std::less<>> space_max_size; ///< of those that have one
  ByteCount min_free_space = 0;
  std::chrono::milliseconds max_age{}; ///< 0: any
  unsigned evict_above = 0;            ///< percent
  unsigned evict_to = 0;               ///< percent

  std::string bind;
  std::uint16_t port = 0;   ///< 0: the kernel chooses
  unsigned socket_mode = 0; ///< permission bits
  std::vector<std::string> trusted_proxies;
  std::string metrics_bind;  ///< as parse_address() takes it; empty: with all other requests
  std::string tls_cert;      ///< empty: no TLS
  std::string tls_key;       ///< empty: no TLS
  std::string tls_client_ca; ///< empty: clients are not asked for certificates
  TlsClientAuth tls_client_auth{};
  std::string auth_file; ///< empty: no tokens
  bool audit_log = false;
  std::size_t max_connections = 0;
  std::size_t max_connections_per_client = 0; ///< 0: no limit
  std::size_t workers_min = 0;
  std::size_t workers_max = 0;
  std::size_t max_uploads = 0;

  ByteCount max_size = 0;
  ByteCount max_decoded_size = 0;
  std::uint64_t max_decode_ratio = 0; ///< 0: no limit
  std::size_t max_artifact_files = 0;
  ByteCount max_head_size = 0;

  bool fetch = false;
  ByteCount fetch_max_size = 0;
  std::size_t fetch_downloads_max = 0;
  std::chrono::milliseconds fetch_background{};
  std::chrono::milliseconds fetch_negative_ttl{};
  std::chrono::milliseconds fetch_revalidate{}; ///< 0: never
  bool fetch_evict = false;
  ByteCount fetch_rate_limit = 0;                ///< bytes per second; 0: any
  ByteCount fetch_rate_limit_per_origin = 0;     ///< likewise
  ByteCount fetch_rate_limit_per_client = 0;     ///< likewise
  std::vector<std::string> upstream_allow_hosts; ///< empty: all
  std::vector<std::string> upstream_deny_hosts;
  std::vector<std::string> upstream_allow_addresses; ///< that are not public
  std::string upstream_proxy;                        ///< kProxyFromEnvironment, kNoProxy, or a URL
  std::string upstream_ca_file;                      ///< empty: the system's authorities only
  std::chrono::milliseconds upstream_connect_timeout{};
  std::chrono::milliseconds upstream_idle_timeout{};
  std::chrono::milliseconds upstream_timeout{};
  unsigned upstream_retries = 0;

  std::chrono::milliseconds head_timeout{};
  std::chrono::milliseconds body_timeout{};
  std::chrono::milliseconds write_timeout{};
  ByteCount min_transfer_rate = 0; ///< bytes per second; 0: any
  std::chrono::milliseconds idle_timeout{};
  std::chrono::milliseconds shutdown_grace{};

  LogLevel log_level{};
  LogFormat log_format{};
  bool access_log = false;
  std::string access_log_file; ///< empty: with the other lines
};

/// What upstream_proxy says besides a URL.
constexpr std::string_view kProxyFromEnvironment = "environment";
constexpr std::string_view kNoProxy = "none";

/// Where to listen.
struct Address {
  std::string bind; ///< address, host name, or "unix:/PATH"
  std::uint16_t port = 0;
};

/// Reads ADDRESS, ADDRESS:PORT, or unix:/PATH; an IPv6 address with a port stands in brackets.
/// Without a port it is `default_port`. Errors: invalid_argument, with a message that goes on from
/// the quoted text.
Result<Address> parse_address(std::string_view text, std::uint16_t default_port);

/// Of metrics_bind: the neighbour of the server's.
constexpr std::uint16_t kMetricsPort = 8081;

/// Which source decided a value. A later one beats an earlier one.
enum class OriginKind {
  initial,
  file,
  environment,
  flag
};

/// Where a value came from.
struct Origin {
  OriginKind kind = OriginKind::initial;
  std::string place; ///< "server.yaml:12", "POLYKIT_CACHE_PORT", "--port"; empty for a default

  /// "default", "file server.yaml:12", "environment POLYKIT_CACHE_PORT", "flag --port".
  [[nodiscard]] std::string text() const;
};

/// A name as its source spells it (a flag without its dashes), and the text given with it.
using Assignment = std::pair<std::string, std::string>;

/// A settings file, read. Its extension (.yaml, .yml, .toml, .json) tells the format.
struct ConfigFile {
  std::string path;
  std::string text;
};

/// Files larger than this are refused.
constexpr ByteCount kConfigFileSizeMax = 1 * kMiB;

/// Everything that settings are made from.
struct Sources {
  std::vector<Assignment> flags;
  /// The whole environment; names without our prefix are skipped.
  std::vector<Assignment> environment;
  std::optional<ConfigFile> file;
};

/// Settings and, in the order of the table, where each came from.
struct LoadedSettings {
  Settings settings;
  std::vector<std::pair<std::string_view, Origin>> origins; ///< by flag name; names live for ever
};

/// Sentences for the operator, each beginning with the place it is about.
using Problems = std::vector<std::string>;

/// Pure: flags beat environment beats file beats default. Every value of every source is checked,
/// also one that another source overrides. Problems are unknown names (with the nearest known one),
/// duplicates, wrong types, values out of range, values that contradict each other, and a file that
/// is no valid YAML, TOML or JSON: all of them, up to a hundred.
std::expected<LoadedSettings, Problems> load_settings(const Sources& sources);

/// The same, with the file that the flag --config or its variable names, if any. Blocks on reading
/// it.
std::expected<LoadedSettings, Problems> load_settings(Sources sources, FileSystem& file_system);

/// What the server runs with when nothing is set.
Settings default_settings();

} // namespace pkc::config
