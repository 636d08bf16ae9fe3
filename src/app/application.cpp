#include "pkc/app/application.hpp"

#include "access_lines.hpp"
#include "activation.hpp"
#include "auth.hpp"
#include "descriptor_limit.hpp"
#include "fetch_metrics.hpp"
#include "handover.hpp"
#include "lifecycle.hpp"
#include "metrics_listener.hpp"
#include "notifier.hpp"
#include "outgoing.hpp"
#include "polykit_options.hpp"
#include "program.hpp"
#include "quota_file.hpp"
#include "request_metrics.hpp"
#include "scrub_job.hpp"
#include "server_metrics.hpp"
#include "signals.hpp"
#include "storage.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/http/server.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/protocols/admin.hpp"
#include "pkc/protocols/fetch.hpp"
#include "pkc/protocols/polykit.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/readiness.hpp"
#include "pkc/store/scrub.hpp"
#include "pkc/version.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pkc::app {

namespace {

ops::LogLevel to_ops(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::trace:
      return ops::LogLevel::trace;
    case config::LogLevel::debug:
      return ops::LogLevel::debug;
    case config::LogLevel::info:
      return ops::LogLevel::info;
    case config::LogLevel::warn:
      return ops::LogLevel::warn;
    case config::LogLevel::error:
      return ops::LogLevel::error;
  }
  std::unreachable();
}

std::optional<http::TlsOptions> tls_options(const config::Settings& settings) {
  const auto client_certificates = [&] {
    switch (settings.tls_client_auth) {
      case config::TlsClientAuth::required:
        return http::ClientCertificates::required;
      case config::TlsClientAuth::optional:
        return http::ClientCertificates::optional;
    }
    std::unreachable();
  };
  if (settings.tls_cert.empty()) {
    return std::nullopt;
  }
  return http::TlsOptions{.certificate_file = settings.tls_cert,
                          .key_file = settings.tls_key,
                          .client_ca_file = settings.tls_client_ca,
                          .client_certificates = client_certificates()};
}

http::ServerOptions server_options(const config::Settings& settings) {
  return {.bind = settings.bind,
          .port = settings.port,
          .socket_mode = settings.socket_mode,
          .workers_min = settings.workers_min,
          .workers_max = settings.workers_max,
          .connections_max = settings.max_connections,
          .connections_per_client_max = settings.max_connections_per_client,
          .uploads_max = settings.max_uploads,
          .head_size_max = settings.max_head_size,
          .head_timeout = settings.head_timeout,
          .body_timeout = settings.body_timeout,
          .write_timeout = settings.write_timeout,
          .transfer_rate_min = settings.min_transfer_rate,
          .idle_timeout = settings.idle_timeout,
          .handover_quiet = http::ServerOptions{}.handover_quiet,
          .worker_idle_timeout = http::ServerOptions{}.worker_idle_timeout,
          .trusted_proxies = settings.trusted_proxies,
          .accepts_at_start = false,
          .tls = tls_options(settings)};
}

ops::LogOptions log_options(const config::Settings& settings, ops::LogReader reader) {
  return {.level = to_ops(settings.log_level),
          .format = settings.log_format == config::LogFormat::json ? ops::LogFormat::json
                                                                   : ops::LogFormat::text,
          .reader = reader};
}

/// The file of the access log; null when there is none.
Result<std::unique_ptr<ops::FileLog>> open_access_log(const config::Settings& settings) {
  if (!settings.access_log || settings.access_log_file.empty()) {
    return nullptr;
  }
  ops::LogOptions options = log_options(settings, ops::LogReader::anybody);
  options.level = ops::LogLevel::info; // who names a file wants the lines
  auto file = ops::make_file_log(options, settings.access_log_file);
  return file ? *std::move(file)
              : Result<std::unique_ptr<ops::FileLog>>(
                    std::unexpected(std::move(file).error().prefixed("access-log-file")));
}

/// Where the lines of the access log go; null: nowhere.
ops::Log* access_target(const config::Settings& settings, ops::FileLog* file, ops::Log& log) {
  if (file != nullptr) {
    return file;
  }
  return settings.access_log && log.enabled(ops::LogLevel::info) ? &log : nullptr;
}

Result<std::optional<http::ServerOptions>> metrics_options(const config::Settings& settings) {
  if (settings.metrics_bind.empty()) {
    return std::nullopt;
  }
  TRY_ASSIGN(config::Address address,
             config::parse_address(settings.metrics_bind, config::kMetricsPort));
  http::ServerOptions options = MetricsListener::options_for(std::move(address.bind), address.port);
  options.socket_mode = settings.socket_mode;
  return options;
}

/// The settings, less what the limit of open files does not allow.
config::Settings fit_to_descriptors(config::Settings settings, ops::Log& log) {
  const std::uint64_t descriptors =
      raise_descriptor_limit(log).value_or(std::numeric_limits<std::uint64_t>::max());
  const DescriptorShares shares = share_descriptors(
      descriptors,
      settings.workers_max,
      {.open_files = settings.open_files_max, .connections = settings.max_connections});
  if (shares.connections < settings.max_connections) {
    log.warn("max-connections is lowered to what the limit of open files allows",
             {{"max_connections", shares.connections}, {"open_files", descriptors}});
  }
  settings.open_files_max = shares.open_files;
  settings.max_connections = shares.connections;
  return settings;
}

/// What the process was started with, apart from its settings.
struct Start {
  Result<Program> program;
  Signals signals;
  std::optional<Inheritance> inheritance;
  UniqueFd passed; ///< a listening socket
};

/// Before there is any thread.
Result<Start> begin() {
  auto program = Program::capture();
  TRY_ASSIGN(Signals signals, Signals::make());
  TRY_ASSIGN(auto inheritance, take_inheritance());
  TRY_ASSIGN(UniqueFd passed, take_passed_socket());
  if (inheritance && !passed) {
    return fail(Errc::invalid_argument, "the predecessor passed no socket");
  }
  return Start{.program = std::move(program),
               .signals = std::move(signals),
               .inheritance = std::move(inheritance),
               .passed = std::move(passed)};
}

http::PassedSocket passed_socket(Start& start, ops::Log& log) {
  if (start.passed && !start.inheritance) {
    log.info("listening on the socket that the service manager passed, not on --bind");
  }
  return {.socket = std::move(start.passed),
          .ownership = start.inheritance ? start.inheritance->ownership : http::SocketOwnership{}};
}

/// For whoever reads the last line of the log of a server that does not start.
std::string start_hint(ops::Log& log) {
  constexpr std::uint64_t kFew = 64;
  const std::uint64_t descriptors = raise_descriptor_limit(log).value_or(kFew);
  const std::string few = descriptors < kFew
                              ? "this user may open only " + std::to_string(descriptors) +
                                    " files, raise that limit (ulimit -n); "
                              : "";
  return few + "`polykit-cache doctor`, with the same settings and as the same user, tells more";
}

/// Null when it is turned off.
std::unique_ptr<ScrubJob> make_scrub(const config::Settings& settings,
                                     const store::ScrubTarget& target) {
  if (settings.scrub_interval.count() == 0) {
    return nullptr;
  }
  const std::string& root = settings.storage_dir;
  return std::make_unique<ScrubJob>(
      target,
      store::ScrubOptions{.state_file = root + '/' + std::string(blob::kScrubFile),
                          .temp_stem = root + "/tmp/" + std::to_string(::getpid()) + "-scrub",
                          .interval = settings.scrub_interval},
      ScrubRate{.bytes = settings.scrub_rate,
                .start_delay = std::min<std::chrono::milliseconds>(settings.scrub_interval / 10,
                                                                   std::chrono::minutes(1))});
}

/// Null when it is turned off.
Result<std::unique_ptr<Outgoing>> mount_fetch(http::Router& router,
                                              const config::Settings& settings,
                                              Storage& storage,
                                              ops::Log& log,
                                              ops::Metrics& metrics) {
  if (!settings.fetch) {
    return nullptr;
  }
  TRY_ASSIGN(
      auto outgoing,
      Outgoing::make(
          settings,
          {.store = storage.contents(), .clock = system_clock(), .log = log, .metrics = metrics}));
  protocols::mount_fetch(router,
                         {.archive = storage.archive(),
                          .contents = storage.contents(),
                          .downloads = outgoing->downloads(),
                          .clock = system_clock(),
                          .log = log,
                          .metrics = metrics},
                         {.size_max = settings.fetch_max_size,
                          .revalidate_age = settings.fetch_revalidate,
                          .client_rate = settings.fetch_rate_limit_per_client});
  return outgoing;
}

/// Null where nobody has a quota.
std::unique_ptr<QuotaFile> make_quota_file(const config::Settings& settings,
                                           const Auth& auth,
                                           ops::Log& log) {
  const std::string& root = settings.storage_dir;
  return auth.has_file()
             ? std::make_unique<QuotaFile>(
                   *auth.control(),
                   posix_file_system(),
                   log,
                   QuotaFileOptions{
                       .path = root + '/' + std::string(blob::kTokenUsageFile),
                       .temp_stem = root + "/tmp/" + std::to_string(::getpid()) + "-usage",
                       .lock_path = root + '/' + std::string(blob::kKeyLockFile)})
             : nullptr;
}

Result<void> run(const config::Settings& settings, Start start, Notifier& notifier, ops::Log& log) {
  ops::Metrics metrics;
  TRY_ASSIGN(const auto storage,
             Storage::open(settings,
                           {.clock = system_clock(), .log = log, .metrics = metrics},
                           start.inheritance ? std::move(start.inheritance->lock) : UniqueFd()));
  TRY(sweep_uploads(storage->backend(), start.inheritance ? Others::before_us : Others::none, log));
  storage->start_jobs();
  store::Readiness readiness(storage->backend(), system_clock(), log);
  TRY_ASSIGN(const auto auth, Auth::make(settings, log, metrics));
  warn_of_clear_tokens(settings, log);
  http::Router router;
  router.guard(auth->control());
  protocols::mount_polykit(router, storage->polykit(), log, metrics, polykit_options(settings));
  TRY_ASSIGN(const auto outgoing, mount_fetch(router, settings, *storage, log, metrics));
  if (settings.metrics_bind.empty()) {
    protocols::mount_metrics(router, metrics);
  }
  protocols::mount_admin(router, readiness, system_clock());
  protocols::mount_inventory(router,
                             storage->inventory(),
                             system_clock(),
                             log,
                             {.version = std::string(kVersion),
                              .commit = std::string(kCommit),
                              .started = system_clock().steady_now()});
  protocols::mount_rebuild(router, storage->rebuild());
  RequestMetrics request_metrics(metrics, router.endpoints());
  TRY_ASSIGN(const auto access_file, open_access_log(settings));
  const http::AccessLog access_log =
      make_access_log({.log = log,
                       .access = access_target(settings, access_file.get(), log),
                       .metrics = request_metrics});

  auth->know_spaces(router.spaces());
  http::PassedSocket passed = passed_socket(start, log);
  TRY_ASSIGN(const auto server,
             http::Server::start(
                 server_options(settings), std::move(router), access_log, std::move(passed)));
  const std::array collectors = {
      add_archive_metrics(metrics, storage->index()),
      add_server_metrics(metrics, *server),
      add_disk_metrics(metrics, posix_file_system(), settings.storage_dir, system_clock()),
      add_process_metrics(metrics, {.version = kVersion, .commit = kCommit}, system_clock())};
  TRY_ASSIGN(auto metrics_at, metrics_options(settings));
  MetricsListener metrics_listener(std::move(metrics_at), metrics, access_log, log);
  const auto scrub = make_scrub(settings,
                                {.file_system = posix_file_system(),
                                 .spaces = storage->scrub_spaces(),
                                 .clock = system_clock(),
                                 .log = log,
                                 .metrics = metrics});
  std::vector<Job*> jobs;
  if (scrub) {
    jobs.push_back(&scrub->job());
  }
  const auto quota_file = make_quota_file(settings, *auth, log);
  const auto share_quotas = [&quota_file] {
    if (quota_file) {
      quota_file->sync();
    }
  };
  if (quota_file) { // not one of `jobs`: uploads are counted to the end of the last
    quota_file->job().start();
  }
  Lifecycle lifecycle({.server = *server,
                       .backend = storage->backend(),
                       .readiness = readiness,
                       .signals = start.signals,
                       .notifier = notifier,
                       .log = log,
                       .metrics = metrics_listener,
                       .access_log = access_file.get(),
                       .clock = system_clock(),
                       .program = start.program,
                       .jobs = jobs,
                       .auth = auth.get(),
                       .before_accepting = share_quotas,
                       .before_handing_over = share_quotas,
                       .predecessor_gone =
                           [&] {
                             storage->compare_soon();
                             share_quotas();
                           }},
                      {.grace = settings.shutdown_grace},
                      std::move(start.inheritance));
  return lifecycle.run();
}

/// Before there is any thread. The variable stays: a successor has the same output.
ops::LogReader find_log_reader() {
  const char* const stream = std::getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe)
  return ops::stdout_reader(stream == nullptr ? "" : stream);
}

} // namespace

int run_server(const config::Settings& settings) {
  auto start = begin();
  NotifyOptions notify_options = take_notify_options();
  const auto log = ops::make_stdout_log(log_options(settings, find_log_reader())); // has a thread
  if (!start) {
    log->error("cannot start", {{"reason", start.error().message}});
    return EXIT_FAILURE;
  }
  log->info("starting",
            {{"version", kVersion},
             {"storage_dir", settings.storage_dir},
             {"max_size", format_byte_count(settings.max_size)}});
  Notifier notifier(std::move(notify_options), *log);
  const config::Settings fitting = fit_to_descriptors(settings, *log);
  if (const auto ran = run(fitting, *std::move(start), notifier, *log); !ran) {
    log->error("cannot start", {{"reason", ran.error().message}, {"hint", start_hint(*log)}});
    return EXIT_FAILURE;
  }
  log->info("stopped");
  return EXIT_SUCCESS;
}

} // namespace pkc::app
