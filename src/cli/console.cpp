#include "console.hpp"

#include "exit_codes.hpp"

#include "pkc/base/file_system.hpp"

#include <cstdio>
#include <string>
#include <utility>

namespace pkc::cli {

int print(std::string_view text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    print_error("polykit-cache: standard output cannot be written\n");
    return kExitFailed;
  }
  return kExitOk;
}

void print_error(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

int print_problems(const config::Problems& problems) {
  std::string text;
  for (const std::string& problem : problems) {
    text.append("polykit-cache: ").append(problem).append("\n");
  }
  text += "Try `polykit-cache --help` for commands, flags and what they take.\n";
  print_error(text);
  return kExitUsage;
}

std::expected<config::LoadedSettings, config::Problems> load(const Invocation& invocation) {
  auto loaded = config::load_settings(config::Sources{.flags = invocation.arguments.flags,
                                                      .environment = invocation.environment,
                                                      .file = std::nullopt},
                                      posix_file_system());
  config::Problems problems = invocation.arguments.problems;
  if (!loaded) {
    problems.insert(problems.end(), loaded.error().begin(), loaded.error().end());
  }
  if (!problems.empty()) {
    return std::unexpected(std::move(problems));
  }
  return loaded;
}

std::optional<config::LoadedSettings> load_or_print_problems(const Invocation& invocation) {
  auto loaded = load(invocation);
  if (!loaded) {
    print_problems(loaded.error());
    return std::nullopt;
  }
  return *std::move(loaded);
}

} // namespace pkc::cli
