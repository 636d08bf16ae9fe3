#include "checks.hpp"
#include "judgement.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/config/auth_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace pkc::app {

namespace {

/// By its mode alone; root's own rights are not the service's.
bool may_read(const struct stat& file, const struct stat& user) {
  if (file.st_uid == user.st_uid) {
    return (file.st_mode & S_IRUSR) != 0;
  }
  return (file.st_mode & (file.st_gid == user.st_gid ? S_IRGRP : S_IROTH)) != 0;
}

void check_auth_file(const config::Settings& settings, const FindingSink& sink) {
  AuthFacts facts{.path = settings.auth_file};
  auto file = config::load_auth_file(settings.auth_file, posix_file_system());
  if (file) {
    facts.file = *std::move(file);
  } else {
    facts.problems = file.error();
  }
  struct stat status{};
  if (::stat(settings.auth_file.c_str(), &status) == 0) {
    facts.everybody_reads = (status.st_mode & S_IROTH) != 0;
    struct stat owner{}; // of the directory: whoever runs the service, when it is root who asks
    if (::geteuid() == 0 && ::stat(settings.storage_dir.c_str(), &owner) == 0 &&
        owner.st_uid != 0 && !may_read(status, owner)) {
      facts.shut_out = user_name(owner.st_uid);
    }
  }
  for (const Finding& finding : judge_auth_file(facts, system_clock().wall_now())) {
    sink(finding);
  }
}

} // namespace

void check_access(const config::Settings& settings, const FindingSink& sink) {
  if (!settings.auth_file.empty()) {
    check_auth_file(settings, sink);
  }
  const auto metrics = settings.metrics_bind.empty()
                           ? Result<config::Address>(config::Address{})
                           : config::parse_address(settings.metrics_bind, config::kMetricsPort);
  for (const Finding& finding : judge_exposure({.bind = settings.bind,
                                                .auth_file = settings.auth_file,
                                                .metrics_bind = metrics ? metrics->bind : "",
                                                .tls = !settings.tls_cert.empty()})) {
    sink(finding);
  }
}

} // namespace pkc::app
