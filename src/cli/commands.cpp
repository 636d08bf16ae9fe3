#include "commands.hpp"

#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/config/reference.hpp"
#include "pkc/version.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <utility>

namespace pkc::cli {
namespace {

/// Whether a command reads the settings, and so reports what is wrong with any of their sources.
enum class Reads {
  settings,
  nothing
};

struct CommandRow {
  Command command;
  Reads reads;
};

constexpr std::array kCommands = {
    CommandRow{{"serve", "runs the server; the default", run_serve}, Reads::settings},
    CommandRow{{"config show",
                "prints every setting, its value and where that came from (--json for scripts)",
                run_config_show},
               Reads::settings},
    CommandRow{
        {"config check", "tells what is wrong with the settings, if anything", run_config_check},
        Reads::settings},
    CommandRow{
        {"config sample", "prints a settings file with everything explained", run_config_sample},
        Reads::nothing},
    CommandRow{{"config table", "", run_config_table}, Reads::nothing},
    CommandRow{{"version", "prints the version", run_version}, Reads::nothing},
};

std::string usage() {
  std::string text =
      "polykit-cache is a build cache server.\n"
      "\n"
      "Usage: polykit-cache [command] [flags]\n"
      "\n"
      "Commands:\n";
  for (const CommandRow& row : kCommands) {
    if (!row.command.help.empty()) {
      std::string name(row.command.name);
      name.resize(15, ' ');
      text.append("  ").append(name).append(row.command.help).append("\n");
    }
  }
  text +=
      "\n"
      "  -h, --help     prints this text\n"
      "  -V, --version  prints the version\n"
      "\n"
      "Each flag below is also an environment variable (--max-size is\n"
      "POLYKIT_CACHE_MAX_SIZE) and a key of the settings file (max_size). A flag beats\n"
      "the variable, which beats the file. A SIZE is a number of bytes or has a unit\n"
      "that is a power of 1024 (512KiB, 5G); a DURATION is a number of seconds or has\n"
      "one of ms, s, m, h, d.\n"
      "\n";
  text += config::help_text();
  text +=
      "\n"
      "Exit codes:\n"
      "  0  done; for the server: stopped by SIGTERM or SIGINT\n"
      "  1  the server could not start or go on; the last line of the log says why\n"
      "  2  wrong flags, variables or settings file; standard error says which\n";
  return text;
}

const CommandRow* find_command(std::string_view name) {
  const auto* const found =
      std::ranges::find(kCommands, name, [](const CommandRow& row) { return row.command.name; });
  return found == kCommands.end() ? nullptr : found;
}

/// The mistakes of a command line whose command reads no settings: other sources do not matter.
config::Problems problems_of_flags(const Arguments& arguments) {
  config::Problems problems = arguments.problems;
  const auto loaded = config::load_settings(
      config::Sources{.flags = arguments.flags, .environment = {}, .file = std::nullopt});
  if (!loaded) {
    problems.insert(problems.end(), loaded.error().begin(), loaded.error().end());
  }
  return problems;
}

int dispatch(Invocation invocation) {
  Arguments& arguments = invocation.arguments;
  if (arguments.help) {
    return print(usage());
  }
  if (arguments.version) {
    return run_version(invocation);
  }
  const CommandRow* const row =
      find_command(arguments.command.empty() ? "serve" : arguments.command);
  if (row == nullptr) {
    arguments.problems.push_back(arguments.command + " needs to know what: show, check or sample");
  }
  if (row == nullptr || row->reads == Reads::nothing) {
    const config::Problems problems = problems_of_flags(arguments);
    if (!problems.empty()) {
      return print_problems(problems);
    }
  }
  return row->command.run(invocation);
}

} // namespace

int run_version(const Invocation& /*invocation*/) {
  std::string text = "polykit-cache " + std::string(kVersion);
  if (!kCommit.empty()) {
    text.append(" (").append(kCommit).append(")");
  }
  return print(text + "\n");
}

int run(const std::vector<std::string>& words, std::vector<config::Assignment> environment) {
  try {
    std::vector<std::string_view> names;
    std::ranges::transform(kCommands, std::back_inserter(names), [](const CommandRow& row) {
      return row.command.name;
    });
    return dispatch(Invocation{.arguments = parse_arguments(words, names),
                               .environment = std::move(environment)});
  } catch (const std::exception& error) {
    print_error(std::string("polykit-cache: ") + error.what() + "\n");
    return kExitFailed;
  }
}

} // namespace pkc::cli
