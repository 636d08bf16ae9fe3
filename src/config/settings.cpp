// THE table of settings. A setting is one row here and one member of Settings; flags, environment,
// files, --help, the sample file and the README table follow from the row.
#include "pkc/config/settings.hpp"

#include "fields.hpp"
#include "table.hpp"

#include <array>
#include <chrono>
#include <string_view>

namespace pkc::config {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;

constexpr std::array kLogLevelNames = {"trace"sv, "debug"sv, "info"sv, "warn"sv, "error"sv};
constexpr std::array kLogFormatNames = {"text"sv, "json"sv};
constexpr std::array kDurabilityNames = {"none"sv, "file"sv, "full"sv};
constexpr std::array kVerifyReadsNames = {"first"sv, "always"sv, "never"sv};

constexpr std::array kTlsClientAuthNames = {"required"sv, "optional"sv};

constexpr ByteCount kTiB = 1024 * kGiB;

constexpr std::array kRows = {
    Row{.name = "config",
        .section = "Settings file",
        .field = optional_text<&Settings::config_file>("FILE"),
        .initial = "",
        .help =
            "Reads settings from a file: YAML, TOML or JSON, told apart by its extension. Flags "
            "and environment variables beat it. See `polykit-cache config sample`.",
        .in_file = InFile::no},

    Row{.name = "storage-dir",
        .section = "Storage",
        .field = text<&Settings::storage_dir>("DIR"),
        .initial = "./cache",
        .help =
            "The directory that holds the artifacts; made when it is absent. One server uses it "
            "at a time. A directory of the original server is taken over as it is."},
    Row{.name = "durability",
        .section = "Storage",
        .field = choice<&Settings::durability>(kDurabilityNames),
        .initial = "full",
        .help = "What an acknowledged upload survives: `full` a power loss; `file` syncs the "
                "contents but not the names, so the newest uploads may be gone after one; `none` "
                "leaves everything to the kernel. A crash of the server alone loses nothing at any "
                "level."},
    Row{.name = "verify-reads",
        .section = "Storage",
        .field = choice<&Settings::verify_reads>(kVerifyReadsNames),
        .initial = "first",
        .help = "When stored bytes are checked against their digest before they are served: the "
                "`first` time after a start or a change of the file, `always`, or `never`. A bad "
                "artifact goes to quarantine and is answered as a miss."},
    Row{.name = "verify-ahead-max",
        .section = "Storage",
        .field = size<&Settings::verify_ahead_max>({.min = 0, .max = 1 * kTiB}),
        .initial = "4MiB",
        .help = "Artifacts up to this size are checked before the answer begins, so that a bad one "
                "is a plain miss; larger ones are checked while they are sent."},
    Row{.name = "quarantine-max-size",
        .section = "Storage",
        .field = size<&Settings::quarantine_max_size>({}),
        .initial = "1GiB",
        .help = "How much of the disk bad artifacts may take in quarantine, and no more than 1000 "
                "of them: the oldest are deleted for the newest. 0 keeps none."},
    Row{.name = "scrub-interval",
        .section = "Storage",
        .field = duration<&Settings::scrub_interval>(0ms, 365 * 24h),
        .initial = "30d",
        .help = "Every artifact is read and checked against its digest once in this time, in the "
                "background and spread evenly, so that what the disk loses is noticed while it can "
                "still be built again. 0 turns that off."},
    Row{.name = "scrub-rate",
        .section = "Storage",
        .field = size<&Settings::scrub_rate>({.min = 64 * kKiB, .max = 1 * kTiB}),
        .initial = "16MiB",
        .help = "The most that this check reads in a second. When it is too little for "
                "scrub-interval, a round takes longer."},
    Row{.name = "entry-cache-max",
        .section = "Storage",
        .field = number<&Settings::entry_cache_max>("N", {.min = 1, .max = 1'000'000'000}),
        .initial = "100000",
        .help = "How many artifacts' facts are kept in memory, at about 200 bytes each."},
    Row{.name = "open-files-max",
        .section = "Storage",
        .field = number<&Settings::open_files_max>("N", {.min = 0, .max = 1'000'000}),
        .initial = "512",
        .help = "How many files of artifacts up to 256 KiB are kept open between reads. Each takes "
                "a descriptor. Four times as many of up to 4 KiB are kept in memory instead."},

    Row{.name = "cache-max-size",
        .section = "Eviction",
        .field = size<&Settings::cache_max_size>({}),
        .initial = "0",
        .help = "The most that artifacts and uploads together may take of the disk, in blocks of 4 "
                "KiB. The least recently used artifacts go to make room. 0 means no limit."},
    Row{.name = "space-max-size",
        .section = "Eviction",
        .field = space_sizes_field(),
        .initial = "",
        .help = "The same for single spaces, separated by commas: polykit=10GiB. A space is what "
                "one protocol stores."},
    Row{.name = "min-free-space",
        .section = "Eviction",
        .field = size<&Settings::min_free_space>({}),
        .initial = "0",
        .help = "How much of the disk is to stay free, whoever fills it; artifacts go for that, "
                "too. 0 means that nothing is."},
    Row{.name = "max-age",
        .section = "Eviction",
        .field = duration<&Settings::max_age>(0ms, 24h * 36'500),
        .initial = "0s",
        .help = "An artifact that nobody has used for this long goes. 0 means that none does."},
    Row{.name = "evict-above",
        .section = "Eviction",
        .field = number<&Settings::evict_above>("PERCENT", {.min = 1, .max = 100}),
        .initial = "95",
        .help = "How much of a limit on size may be taken before artifacts go in the background, "
                "so that uploads need not wait for that."},
    Row{.name = "evict-to",
        .section = "Eviction",
        .field = number<&Settings::evict_to>("PERCENT", {.min = 1, .max = 100}),
        .initial = "90",
        .help = "How much of it is still taken when that ends."},

    Row{.name = "bind",
        .section = "Network",
        .field = bind_field(),
        .initial = "127.0.0.1",
        .help =
            "The address or host name to listen on. The default is reached from this machine "
            "only; 0.0.0.0 or :: means all of its addresses. unix:/PATH is a Unix socket instead "
            "of "
            "TCP, for a proxy on this machine; the file of a server that has died is replaced."},
    Row{.name = "port",
        .section = "Network",
        .field = number<&Settings::port>("PORT", {.min = 0, .max = 65535}),
        .initial = "8080",
        .help = "The TCP port to listen on; 0 lets the kernel choose a free one, which the log "
                "names."},
    Row{.name = "socket-mode",
        .section = "Network",
        .field = socket_mode_field(),
        .initial = "0660",
        .help = "The permission bits of the Unix socket's file, octal: who may write may connect."},
    Row{.name = "metrics-bind",
        .section = "Network",
        .field = metrics_bind_field(),
        .initial = "",
        .help =
            "Serves /metrics at this ADDRESS, ADDRESS:PORT or unix:/PATH, always without TLS, and "
            "no more at --bind. The port is 8081 unless given; an IPv6 address with a port "
            "stands in brackets."},
    Row{.name = "trusted-proxies",
        .section = "Network",
        .field = list<&Settings::trusted_proxies>("LIST", check_proxy),
        .initial = "",
        .help = "Addresses or CIDR blocks, separated by commas, whose X-Forwarded-For header is "
                "believed; unix stands for the peers of a Unix socket. Everybody else is known by "
                "the address of the connection."},
    Row{.name = "tls-cert",
        .section = "Network",
        .field = optional_text<&Settings::tls_cert>("FILE"),
        .initial = "",
        .help = "Turns TLS on, with tls-key: the server's certificate in PEM form, followed by "
                "those between it and its authority. SIGHUP makes the server read it again."},
    Row{.name = "tls-key",
        .section = "Network",
        .field = optional_text<&Settings::tls_key>("FILE"),
        .initial = "",
        .help = "The private key of tls-cert, in PEM form and without a passphrase."},
    Row{.name = "tls-client-ca",
        .section = "Network",
        .field = optional_text<&Settings::tls_client_ca>("FILE"),
        .initial = "",
        .help = "Asks clients for a certificate, which one of the authorities in this PEM file "
                "must have signed."},
    Row{.name = "tls-client-auth",
        .section = "Network",
        .field = choice<&Settings::tls_client_auth>(kTlsClientAuthNames),
        .initial = "required",
        .help = "Whether a client may do without a certificate where tls-client-ca asks for one. "
                "A wrong certificate is refused in any case."},
    Row{.name = "auth-file",
        .section = "Network",
        .field = optional_text<&Settings::auth_file>("FILE"),
        .initial = "",
        .help =
            "Lets in only who this YAML file allows: tokens, which `polykit-cache token create` "
            "makes, and what anybody may do without one. SIGHUP makes the server read it again. "
            "Without it everybody may read and write, and only this machine may administer."},
    Row{.name = "audit-log",
        .section = "Network",
        .field = boolean<&Settings::audit_log>(),
        .initial = "true",
        .help = "With auth-file: logs one line for each request that stores, deletes or "
                "administers, or was not allowed to, with the name of its token, at level info."},
    Row{.name = "max-connections",
        .section = "Network",
        .field = number<&Settings::max_connections>("N", {.min = 1, .max = 1'000'000}),
        .initial = "10000",
        .help = "How many clients may be connected at once, idle ones included."},
    Row{.name = "max-connections-per-client",
        .section = "Network",
        .field = number<&Settings::max_connections_per_client>("N", {.min = 0, .max = 1'000'000}),
        .initial = "1000",
        .help = "How many of them may come from one address (of IPv6: from one network of 64 "
                "bits), so that one client cannot keep the others out; more are answered 503 at "
                "once. The addresses in trusted-proxies have no limit of their own. 0 means no "
                "limit."},
    Row{.name = "workers-min",
        .section = "Network",
        .field = number<&Settings::workers_min>("N", {.min = 1, .max = 4096}),
        .initial = "4",
        .help = "How many threads answer requests at any time."},
    Row{.name = "workers-max",
        .section = "Network",
        .field = number<&Settings::workers_max>("N", {.min = 1, .max = 4096}),
        .initial = "256",
        .help = "How many threads may answer requests when many do so slowly. An idle connection "
                "needs none."},
    Row{.name = "max-uploads",
        .section = "Network",
        .field = number<&Settings::max_uploads>("N", {.min = 1, .max = 4096}),
        .initial = "192",
        .help = "How many uploads may be on their way at once; more are answered 503 before they "
                "are sent. Never more than three quarters of workers-max, so that slow uploads "
                "cannot stop downloads."},

    Row{.name = "max-size",
        .section = "Limits",
        .field = size<&Settings::max_size>({}),
        .initial = "1GiB",
        .help =
            "The largest upload, as it is sent (compressed). A larger one is refused with 413."},
    Row{.name = "max-decoded-size",
        .section = "Limits",
        .field = size<&Settings::max_decoded_size>({.min = 1}),
        .initial = "16GiB",
        .help = "The largest upload when it is decompressed. It is refused beyond that, and "
                "never held in memory or written to disk decompressed."},
    Row{.name = "max-decode-ratio",
        .section = "Limits",
        .field = number<&Settings::max_decode_ratio>("N", {}),
        .initial = "2048",
        .help = "How many bytes one compressed byte may become, beyond the first 256 MiB (16 MiB "
                "where the zstd window is larger than 8 MiB). An upload above that is refused. 0 "
                "means no limit."},
    Row{.name = "max-artifact-files",
        .section = "Limits",
        .field = number<&Settings::max_artifact_files>("N", {.min = 1, .max = 1'000'000'000}),
        .initial = "1000000",
        .help = "The most files one artifact may have."},
    Row{.name = "max-head-size",
        .section = "Limits",
        .field = size<&Settings::max_head_size>({.min = 1 * kKiB, .max = 1 * kMiB}),
        .initial = "32KiB",
        .help = "The largest request line and headers together. More is refused with 431 or 414."},

    Row{.name = "fetch",
        .section = "Downloads",
        .field = boolean<&Settings::fetch>(),
        .initial = "true",
        .help = "Answers /fetch?url=…: downloads any public URL once and keeps it."},
    Row{.name = "fetch-max-size",
        .section = "Downloads",
        .field = size<&Settings::fetch_max_size>({.min = 1, .max = 1 * kTiB}),
        .initial = "16GiB",
        .help = "The largest file that is downloaded."},
    Row{.name = "fetch-downloads-max",
        .section = "Downloads",
        .field = number<&Settings::fetch_downloads_max>("N", {.min = 1, .max = 1000}),
        .initial = "64",
        .help = "How many downloads go on at once, each with a thread, and a large one with two "
                "more; a thousand more may wait. Any number of clients share one."},
    Row{.name = "fetch-background",
        .section = "Downloads",
        .field = duration<&Settings::fetch_background>(0ms, 24h),
        .initial = "60s",
        .help = "How long a download goes on when the last client that waited for it has left."},
    Row{.name = "fetch-negative-ttl",
        .section = "Downloads",
        .field = duration<&Settings::fetch_negative_ttl>(0ms, 24h),
        .initial = "60s",
        .help = "How long an origin's 404 or 410 is remembered, so that it is not asked again."},
    Row{.name = "fetch-revalidate",
        .section = "Downloads",
        .field = duration<&Settings::fetch_revalidate>(0ms, 24h * 36'500),
        .initial = "0s",
        .help = "A file that was looked at longer ago is compared with its origin, in the "
                "background. Other content there is counted and noted; the archived file stays. 0 "
                "means never."},
    Row{.name = "fetch-evict",
        .section = "Downloads",
        .field = boolean<&Settings::fetch_evict>(),
        .initial = "false",
        .help = "Lets downloaded files go when room is needed, like artifacts. Otherwise they stay "
                "until somebody deletes them."},
    Row{.name = "fetch-rate-limit",
        .section = "Downloads",
        .field = size<&Settings::fetch_rate_limit>({}),
        .initial = "0",
        .help = "The most that all downloads together take in a second. 0 means no limit."},
    Row{.name = "fetch-rate-limit-per-origin",
        .section = "Downloads",
        .field = size<&Settings::fetch_rate_limit_per_origin>({}),
        .initial = "0",
        .help = "The same for the downloads from one origin: a host and its port."},
    Row{.name = "fetch-rate-limit-per-client",
        .section = "Downloads",
        .field = size<&Settings::fetch_rate_limit_per_client>({}),
        .initial = "0",
        .help = "The most that /fetch sends to one client address (of IPv6: to one network of 64 "
                "bits) in a second. 0 means no limit."},
    Row{.name = "upstream-allow-hosts",
        .section = "Downloads",
        .field = list<&Settings::upstream_allow_hosts>("LIST", check_host_pattern),
        .initial = "",
        .help = "The only hosts that are asked, separated by commas; *.example.org means all below "
                "example.org. Empty means all."},
    Row{.name = "upstream-deny-hosts",
        .section = "Downloads",
        .field = list<&Settings::upstream_deny_hosts>("LIST", check_host_pattern),
        .initial = "",
        .help = "Hosts that are never asked, also when they are among those above."},
    Row{.name = "upstream-allow-addresses",
        .section = "Downloads",
        .field = list<&Settings::upstream_allow_addresses>("LIST", check_address_block),
        .initial = "",
        .help = "Addresses or CIDR blocks that may be asked although they are not public. All "
                "other private, loopback, link-local and special addresses are refused, so that "
                "nobody reaches your own network through the cache."},
    Row{.name = "upstream-proxy",
        .section = "Downloads",
        .field = upstream_proxy_field(),
        .initial = "environment",
        .help = "The HTTP proxy that origins are asked through: a URL, none, or what http_proxy, "
                "https_proxy and no_proxy in the environment say.",
        .secret = Secret::yes},
    Row{.name = "upstream-ca-file",
        .section = "Downloads",
        .field = optional_text<&Settings::upstream_ca_file>("FILE"),
        .initial = "",
        .help = "Certificate authorities (PEM) that are trusted beside those of the system."},
    Row{.name = "upstream-connect-timeout",
        .section = "Downloads",
        .field = duration<&Settings::upstream_connect_timeout>(100ms, 1h),
        .initial = "10s",
        .help = "How long the way to an origin may take: name, connection and TLS."},
    Row{.name = "upstream-idle-timeout",
        .section = "Downloads",
        .field = duration<&Settings::upstream_idle_timeout>(100ms, 24h),
        .initial = "60s",
        .help = "How long an origin may send nothing."},
    Row{.name = "upstream-timeout",
        .section = "Downloads",
        .field = duration<&Settings::upstream_timeout>(1s, 24h * 30),
        .initial = "10m",
        .help = "How long a whole download may take, with all that is tried again."},
    Row{.name = "upstream-retries",
        .section = "Downloads",
        .field = number<&Settings::upstream_retries>("N", {.min = 0, .max = 20}),
        .initial = "3",
        .help = "How often a download that failed for a while is tried again; one that broke off "
                "goes on where it was if the origin allows that."},

    Row{.name = "head-timeout",
        .section = "Timeouts",
        .field = duration<&Settings::head_timeout>(10ms, 24h),
        .initial = "10s",
        .help = "How long a client may take from the first byte of a request to the end of its "
                "headers."},
    Row{.name = "body-timeout",
        .section = "Timeouts",
        .field = duration<&Settings::body_timeout>(10ms, 24h),
        .initial = "30s",
        .help = "How long an upload may stand still before it is given up."},
    Row{.name = "write-timeout",
        .section = "Timeouts",
        .field = duration<&Settings::write_timeout>(10ms, 24h),
        .initial = "30s",
        .help = "How long a client may take no byte of an answer before it is given up."},
    Row{.name = "min-transfer-rate",
        .section = "Timeouts",
        .field = size<&Settings::min_transfer_rate>({.min = 0, .max = 1 * kGiB}),
        .initial = "1KiB",
        .help = "How much a client must send of an upload or take of an answer in a second, on "
                "average over body-timeout or write-timeout, before it is given up. 0 means that "
                "one byte within each timeout is enough."},
    Row{.name = "idle-timeout",
        .section = "Timeouts",
        .field = duration<&Settings::idle_timeout>(10ms, 24h),
        .initial = "75s",
        .help = "How long a connection without a request is kept open."},
    Row{.name = "shutdown-grace",
        .section = "Timeouts",
        .field = duration<&Settings::shutdown_grace>(0ms, 24h),
        .initial = "30s",
        .help = "How long requests in flight may go on after SIGTERM before they are cut off."},

    Row{.name = "log-level",
        .section = "Logging",
        .field = choice<&Settings::log_level>(kLogLevelNames),
        .initial = "info",
        .help = "The least important lines that are logged. The log goes to standard output."},
    Row{.name = "log-format",
        .section = "Logging",
        .field = choice<&Settings::log_format>(kLogFormatNames),
        .initial = "text",
        .help =
            "`text` is time, level, message and key=value; `json` is one object a line with the "
            "same fields. Where standard output is systemd's journal, each line begins with its "
            "priority, and text has no time."},
    Row{.name = "access-log",
        .section = "Logging",
        .field = boolean<&Settings::access_log>(),
        .initial = "true",
        .help = "Logs one line for each request, at level info."},
    Row{.name = "access-log-file",
        .section = "Logging",
        .field = optional_text<&Settings::access_log_file>("FILE"),
        .initial = "",
        .help = "Writes these lines to a file instead of standard output, whatever log-level says. "
                "SIGHUP makes the server open it again, for logrotate."},
};

constexpr std::array kOrders = {Order{.low = "workers-min", .high = "workers-max"},
                                Order{.low = "evict-to", .high = "evict-above"}};

constexpr std::array kNeeds = {Need{.name = "tls-cert", .needs = "tls-key"},
                               Need{.name = "tls-key", .needs = "tls-cert"},
                               Need{.name = "tls-client-ca", .needs = "tls-cert"}};

} // namespace

std::span<const Row> rows() {
  return kRows;
}

std::span<const Order> orders() {
  return kOrders;
}

std::span<const Need> needs() {
  return kNeeds;
}

} // namespace pkc::config
