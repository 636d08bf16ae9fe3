#include "checks.hpp"
#include "judgement.hpp"
#include "processes.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/http/inspect.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

namespace pkc::app {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

void check_socket_path(const std::string& path, const FindingSink& sink, const Facts& facts) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  struct stat status{};
  sink(judge_socket_path(
      {.path = path,
       .state = http::inspect_socket_path(path),
       .directory_exists = ::stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode),
       .directory_writable = ::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == 0,
       .server_runs = facts.server.has_value()}));
}

/// Who has the address, and whether that is the server of the directory: it may be another one by
/// now than when the directory was looked at.
void find_owners(const config::Settings& settings, AddressFacts& address) {
  const auto server = find_server(settings.storage_dir);
  address.server_runs = server.has_value();
  for (const PortOwner& owner : find_port_owners(address.port)) {
    address.owners.push_back("process " + std::to_string(owner.process) + " (" + owner.name + ")");
    address.owned_by_server =
        address.owned_by_server || (server && server->process == owner.process);
  }
}

Result<AddressFacts> try_address(const config::Settings& settings,
                                 const config::Address& wanted,
                                 const Facts& facts) {
  TRY_ASSIGN(const int error_number, http::try_address(wanted.bind, wanted.port));
  AddressFacts address{.address = wanted.bind + ':' + std::to_string(wanted.port),
                       .port = wanted.port,
                       .error_number = error_number,
                       .server_runs = facts.server.has_value() && wanted.port != 0,
                       .is_root = ::geteuid() == 0};
  if (error_number == EADDRINUSE) {
    find_owners(settings, address);
  }
  return address;
}

/// In use, and not by the server of the directory.
bool is_taken(const Result<AddressFacts>& address) {
  return address && address->error_number == EADDRINUSE &&
         judge_address(*address).verdict == Verdict::problem;
}

void check_address(const config::Settings& settings,
                   const config::Address& wanted,
                   const FindingSink& sink,
                   const Facts& facts) {
  constexpr int kTries = 5;
  constexpr int kPauseMs = 100;
  auto address = try_address(settings, wanted, facts);
  // A server that starts or stops just now has its address and its directory one after the other.
  for (int i = 1; i < kTries && is_taken(address); ++i) {
    ::poll(nullptr, 0, kPauseMs);
    address = try_address(settings, wanted, facts);
  }
  if (!address) {
    sink({Verdict::problem, "address", address.error().message, "set --bind to an IP address"});
    return;
  }
  sink(judge_address(*address));
}

/// As the other address, but the advice is about another setting.
void check_metrics_address(const config::Settings& settings,
                           const FindingSink& sink,
                           const Facts& facts) {
  if (settings.metrics_bind.empty()) {
    return;
  }
  const auto wanted = config::parse_address(settings.metrics_bind, config::kMetricsPort);
  const FindingSink told = [&](Finding finding) {
    finding.check = "metrics";
    if (finding.verdict == Verdict::problem) {
      finding.advice = "a server does not start then: choose another --metrics-bind";
    }
    sink(finding);
  };
  if (!wanted) {
    told({Verdict::problem, "", settings.metrics_bind + " " + wanted.error().message, ""});
  } else if (wanted->bind.starts_with(kUnixPrefix)) {
    check_socket_path(wanted->bind.substr(kUnixPrefix.size()), told, facts);
  } else {
    check_address(settings, *wanted, told, facts);
  }
}

void check_tls(const config::Settings& settings, const FindingSink& sink) {
  if (settings.tls_cert.empty()) {
    return;
  }
  const http::TlsOptions options{.certificate_file = settings.tls_cert,
                                 .key_file = settings.tls_key,
                                 .client_ca_file = settings.tls_client_ca};
  for (const Finding& finding :
       judge_tls(http::inspect_tls(options, system_clock()), system_clock().wall_now())) {
    sink(finding);
  }
}

} // namespace

void check_network(const config::Settings& settings, const FindingSink& sink, const Facts& facts) {
  check_tls(settings, sink);
  if (settings.bind.starts_with(kUnixPrefix)) {
    check_socket_path(settings.bind.substr(kUnixPrefix.size()), sink, facts);
  } else {
    check_address(settings, {.bind = settings.bind, .port = settings.port}, sink, facts);
  }
  check_metrics_address(settings, sink, facts);
  if (const auto finding = judge_proxies(settings.bind, settings.trusted_proxies)) {
    sink(*finding);
  }
}

} // namespace pkc::app
