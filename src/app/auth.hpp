// Auth: the auth file of a running server, and the audit lines.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/config/auth_file.hpp"
#include "pkc/config/settings.hpp"
#include "pkc/http/auth.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <memory>
#include <set>
#include <string>
#include <utility>

namespace pkc::app {

/// Decides what requests may do, by the file that the setting auth-file names, or by the rule for
/// servers without one. Log and metrics outlive it and what control() returned. reload() is for one
/// thread; everything else happens on the server's workers.
class Auth {
 public:
  /// Reads the file. Errors: invalid_argument when it is of no use; what is wrong with it is
  /// logged, a line each.
  static Result<std::unique_ptr<Auth>> make(const config::Settings& settings,
                                            ops::Log& log,
                                            ops::Metrics& metrics);

  /// For Router::guard().
  [[nodiscard]] std::shared_ptr<http::AccessControl> control() const { return control_; }

  /// The spaces that there are. Warns of those that are in the file and do not exist, now and at
  /// each reload: a misspelt one would refuse everything without a reason to be seen.
  void know_spaces(std::set<std::string> spaces);

  /// Whether there is a file.
  [[nodiscard]] bool has_file() const { return !path_.empty(); }

  /// Reads the file again. One of no use must not end a server that runs, nor open it: the log says
  /// what is wrong, and the old rules stay. Blocks on the disk.
  void reload();

 private:
  Auth(std::string path, ops::Log& log) : path_(std::move(path)), log_(log) {}
  Result<config::AuthFile> load() const;
  void warn_of_unknown_spaces() const;

  const std::string path_; ///< empty: no file
  ops::Log& log_;
  std::shared_ptr<http::AccessControl> control_;
  std::set<std::string> spaces_;
  std::set<std::string> spaces_in_file_;
};

/// Warns when tokens would travel in clear from other machines.
void warn_of_clear_tokens(const config::Settings& settings, ops::Log& log);

} // namespace pkc::app
