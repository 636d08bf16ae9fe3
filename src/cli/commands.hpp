// Commands: what can be asked of the program.
#pragma once

#include "arguments.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::cli {

/// The process as its parent started it.
struct Invocation {
  Arguments arguments;
  std::vector<config::Assignment> environment;
};

/// One command. Its function returns an exit code and writes to standard output and error.
struct Command {
  std::string_view name;
  std::string_view help; ///< empty: not listed
  int (*run)(const Invocation&);
};

/// Parses `words`, the command line without the program's name, and does what it asks for. Returns
/// the exit code. Never throws.
int run(const std::vector<std::string>& words, std::vector<config::Assignment> environment);

int run_serve(const Invocation& invocation);
int run_config_show(const Invocation& invocation);
int run_config_check(const Invocation& invocation);
int run_config_sample(const Invocation& invocation);
int run_config_table(const Invocation& invocation);
int run_version(const Invocation& invocation);

} // namespace pkc::cli
