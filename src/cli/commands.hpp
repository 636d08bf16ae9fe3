// Commands: what can be asked of the program.
#pragma once

#include "arguments.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::cli {

/// The process as its parent started it.
struct Invocation {
  Arguments arguments;
  std::vector<config::Assignment> environment;
};

/// Whether a command reads the settings, and so reports what is wrong with any of their sources.
enum class Reads : std::uint8_t {
  settings,
  nothing
};

/// One command. Its function returns an exit code and writes to standard output and error.
struct Command {
  Syntax syntax;
  std::string_view help; ///< in one line; empty: not listed
  /// For its own --help, as it is printed: what it does, and its exit codes.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::string_view details{};
  Reads reads = Reads::settings;
  int (*run)(const Invocation&) = nullptr;
};

/// Parses `words`, the command line without the program's name, and does what it asks for. Returns
/// the exit code. Never throws.
int run(const std::vector<std::string>& words, std::vector<config::Assignment> environment);

int run_serve(const Invocation& invocation);
int run_healthcheck(const Invocation& invocation);
int run_config_show(const Invocation& invocation);
int run_config_check(const Invocation& invocation);
int run_config_sample(const Invocation& invocation);
int run_config_table(const Invocation& invocation);
int run_stats(const Invocation& invocation);
int run_ls(const Invocation& invocation);
int run_get(const Invocation& invocation);
int run_put(const Invocation& invocation);
int run_rm(const Invocation& invocation);
int run_pin(const Invocation& invocation);
int run_unpin(const Invocation& invocation);
int run_gc(const Invocation& invocation);
int run_warm(const Invocation& invocation);
int run_index_rebuild(const Invocation& invocation);
int run_doctor(const Invocation& invocation);
int run_config_man(const Invocation& invocation);
int run_completion_bash(const Invocation& invocation);
int run_completion_zsh(const Invocation& invocation);
int run_completion_fish(const Invocation& invocation);
int run_fsck(const Invocation& invocation);
int run_token_create(const Invocation& invocation);
int run_token_list(const Invocation& invocation);
int run_token_revoke(const Invocation& invocation);
int run_version(const Invocation& invocation);

} // namespace pkc::cli
