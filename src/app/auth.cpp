#include "auth.hpp"

#include "pkc/base/file_system.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::app {

namespace {

http::Scope to_http(config::AuthScope scope) {
  switch (scope) {
    case config::AuthScope::read:
      return http::Scope::read;
    case config::AuthScope::write:
      return http::Scope::write;
    case config::AuthScope::metrics:
      return http::Scope::metrics;
    case config::AuthScope::admin:
      return http::Scope::admin;
  }
  std::unreachable();
}

std::vector<http::Grant> to_http(const std::vector<config::AuthGrant>& grants) {
  std::vector<http::Grant> result;
  result.reserve(grants.size());
  for (const config::AuthGrant& grant : grants) {
    http::Scopes scopes;
    for (const config::AuthScope scope : grant.scopes) {
      scopes.add(to_http(scope));
    }
    result.push_back({.scopes = scopes, .spaces = grant.spaces, .projects = grant.projects});
  }
  return result;
}

http::TokenLimits to_http(const config::AuthLimits& limits) {
  return {.requests_per_second = limits.requests_per_second,
          .requests_burst = limits.requests_burst,
          .read_bytes_per_second = limits.read_bytes_per_second,
          .write_bytes_per_second = limits.write_bytes_per_second,
          .write_bytes_per_day = limits.write_bytes_per_day};
}

http::AccessRules to_http(const config::AuthFile& file) {
  http::AccessRules rules{.tokens = {},
                          .anonymous = to_http(file.anonymous),
                          .anonymous_limits = to_http(file.anonymous_limits)};
  for (const config::AuthToken& token : file.tokens) {
    rules.tokens.push_back({.name = token.name,
                            .digest = token.digest,
                            .grants = to_http(token.grants),
                            .expires = token.expires,
                            .user = token.user,
                            .limits = to_http(token.limits)});
  }
  return rules;
}

std::set<std::string> spaces_of(const config::AuthFile& file) {
  std::set<std::string> spaces;
  const auto add = [&](const std::vector<config::AuthGrant>& grants) {
    for (const config::AuthGrant& grant : grants) {
      spaces.insert(grant.spaces.begin(), grant.spaces.end());
    }
  };
  add(file.anonymous);
  for (const config::AuthToken& token : file.tokens) {
    add(token.grants);
  }
  return spaces;
}

/// Whether a request would change something, as far as its method tells.
bool is_change(const http::AccessEvent& event) {
  const http::Method method = event.request.method;
  const bool only_asks = method == http::Method::get || method == http::Method::head ||
                         method == http::Method::options;
  return !only_asks && (event.scope == http::Scope::write || event.scope == http::Scope::admin);
}

/// What the path names, for people: the parameters of the route, or the path if it has none.
std::string key_of(const http::Request& request) {
  std::string key;
  for (const std::string& parameter : request.parameters) {
    key.append(key.empty() ? "" : "/").append(parameter);
  }
  return key.empty() ? request.path : key;
}

std::string_view outcome_of(const http::AccessEvent& event) {
  if (event.refusal != http::Refusal::none) {
    return "denied";
  }
  switch (event.status / 100) {
    case 2:
      return "done";
    case 5:
      return "failed";
    default:
      return "refused"; // by the protocol: exists already, malformed, too large
  }
}

void write_audit_line(const http::AccessEvent& event, ops::Log& log) {
  const std::string key = key_of(event.request);
  log.info("audit",
           {{"who", event.who},
            {"method", event.request.method_name},
            {"space", event.space},
            {"project", event.project.value_or("-")},
            {"key", key},
            {"outcome", outcome_of(event)},
            {"reason", to_string(event.refusal)},
            {"status", event.status},
            {"client", event.request.client_address}});
}

constexpr std::array kRefusals = {http::Refusal::bad_credentials,
                                  http::Refusal::no_credentials,
                                  http::Refusal::no_right,
                                  http::Refusal::rate,
                                  http::Refusal::quota};

/// By reason.
using DeniedCounters = std::vector<ops::Counter*>;

DeniedCounters denied_counters(ops::Metrics& metrics) {
  DeniedCounters counters(kRefusals.size() + 1);
  for (const http::Refusal refusal : kRefusals) {
    counters[static_cast<std::size_t>(refusal)] =
        &metrics.counter("polykit_cache_denied_requests_total",
                         "Requests that a token or its absence did not allow, by reason.",
                         {{"reason", to_string(refusal)}});
  }
  return counters;
}

/// Counts refusals and, if wanted, writes audit lines.
http::AccessObserver observer(bool audit, ops::Log& log, DeniedCounters counters) {
  return [audit, &log, counters = std::move(counters)](const http::AccessEvent& event) {
    if (event.refusal != http::Refusal::none) {
      counters[static_cast<std::size_t>(event.refusal)]->add();
    }
    if (audit && is_change(event)) {
      write_audit_line(event, log);
    }
  };
}

} // namespace

Result<std::unique_ptr<Auth>> Auth::make(const config::Settings& settings,
                                         ops::Log& log,
                                         ops::Metrics& metrics) {
  std::unique_ptr<Auth> auth(new Auth(settings.auth_file, log)); // private constructor
  DeniedCounters denied =
      denied_counters(metrics); // also without a file: families do not come and go
  if (!auth->has_file()) {
    auth->control_ = std::make_shared<http::AccessControl>();
    return auth;
  }
  TRY_ASSIGN(const config::AuthFile file, auth->load());
  auth->spaces_in_file_ = spaces_of(file);
  auth->control_ = std::make_shared<http::AccessControl>(
      to_http(file), observer(settings.audit_log, log, std::move(denied)));
  log.info("access is by tokens",
           {{"file", settings.auth_file},
            {"tokens", file.tokens.size()},
            {"anonymous", file.anonymous.empty() ? "nothing" : "by the file"}});
  return auth;
}

Result<config::AuthFile> Auth::load() const {
  auto file = config::load_auth_file(path_, posix_file_system());
  if (file) {
    return *std::move(file);
  }
  for (const std::string& problem : file.error()) {
    log_.error("auth file", {{"problem", problem}});
  }
  return fail(Errc::invalid_argument, "the auth file " + path_ + " is of no use");
}

void Auth::know_spaces(std::set<std::string> spaces) {
  spaces_ = std::move(spaces);
  warn_of_unknown_spaces();
}

void Auth::warn_of_unknown_spaces() const {
  for (const std::string& space : spaces_in_file_) {
    if (!spaces_.contains(space)) {
      log_.warn("the auth file names a space that does not exist",
                {{"space", space}, {"file", path_}});
    }
  }
}

void Auth::reload() {
  const auto file = load();
  if (!file) {
    log_.error("auth file not reloaded, the old rules stay in force",
               {{"reason", file.error().message}});
    return;
  }
  control_->replace(to_http(*file));
  spaces_in_file_ = spaces_of(*file);
  log_.info("auth file reloaded", {{"tokens", file->tokens.size()}});
  warn_of_unknown_spaces();
}

void warn_of_clear_tokens(const config::Settings& settings, ops::Log& log) {
  const std::string_view bind = settings.bind;
  const bool stays_here =
      bind.starts_with("unix:") || bind.starts_with("127.") || bind == "::1" || bind == "localhost";
  if (!settings.auth_file.empty() && settings.tls_cert.empty() && !stays_here) {
    log.warn("tokens travel in clear: set tls-cert, or let a proxy that speaks TLS listen");
  }
}

} // namespace pkc::app
