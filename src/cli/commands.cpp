#include "commands.hpp"

#include "completion.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/config/reference.hpp"
#include "pkc/version.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <exception>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace pkc::cli {
namespace {

constexpr std::array kConfigShowOptions = {
    Option{.name = "json", .value = "", .help = "prints JSON, for scripts"},
};

constexpr std::array kDoctorOptions = {
    Option{.name = "json", .value = "", .help = "prints JSON, for scripts"},
};

constexpr Option kJson{.name = "json", .value = "", .help = "prints JSON, for scripts"};
constexpr Option kJsonLines{
    .name = "json", .value = "", .help = "prints one JSON object a line, for scripts"};
constexpr Option kUrl{.name = "url",
                      .value = "URL",
                      .help = "asks the server there: http://HOST:PORT, https://..., unix:/PATH"};
constexpr Option kTokenFile{.name = "token-file",
                            .value = "FILE",
                            .help = "the token for that server, in the first line of a file"};
constexpr Option kSpace{.name = "space", .value = "NAME", .help = "of this space; else polykit"};

constexpr std::array kStatsOptions = {kJson, kUrl, kTokenFile};
constexpr std::array kListOptions = {
    Option{.name = "prefix", .value = "TEXT", .help = "only keys that begin like this"},
    Option{.name = "url-prefix", .value = "TEXT", .help = "only downloads from URLs like this"},
    Option{.name = "sort",
           .value = "BY",
           .help = "key, stored, accessed or size; downloads: url, age, access or size"},
    Option{.name = "order", .value = "ORDER", .help = "asc or desc; else asc"},
    Option{.name = "limit", .value = "N", .help = "no more than so many"},
    kSpace,
    kJsonLines,
    kUrl,
    kTokenFile};
constexpr std::array kTransferOptions = {
    Option{.name = "space", .value = "NAME", .help = "polykit; no other takes or gives by key"},
    kUrl,
    kTokenFile};
constexpr std::array kKeyOptions = {kSpace, kUrl, kTokenFile};
constexpr std::array kCollectOptions = {
    Option{.name = "to-size", .value = "SIZE", .help = "until all objects take no more than this"},
    Option{.name = "older-than", .value = "DURATION", .help = "what nobody has read for so long"},
    Option{.name = "space", .value = "NAME", .help = "only of this space"},
    kJson,
    kUrl,
    kTokenFile};
constexpr std::array kJsonOnly = {kJson};
constexpr std::array kRebuildOptions = {kJson, kUrl, kTokenFile};
constexpr std::size_t kKeysMax = 100'000;
constexpr Operands kKeys{.syntax = "KEY...", .min = 1, .max = kKeysMax};

#define PKC_ADMIN_EXIT_CODES                                             \
  "\nExit codes:\n"                                                      \
  "  0  done\n"                                                          \
  "  1  it failed, or a KEY does not exist; standard error says which\n" \
  "  2  wrong flags, options, variables or settings file; standard error says which\n"

constexpr std::string_view kReadingDetails =
    "Without --url it looks into the storage directory, also beside a server; what that\n"
    "has learnt in the last seconds may be missing then.\n" PKC_ADMIN_EXIT_CODES;
constexpr std::string_view kGetDetails =
    "A FILE that exists is replaced, once the whole artifact has come. What was downloaded\n"
    "(the spaces cas and fetch) is got by its URL: curl 'SERVER/fetch?url=...'. Without --url it\n"
    "reads the storage directory, also beside a server.\n" PKC_ADMIN_EXIT_CODES;
constexpr std::string_view kChangingDetails =
    "Without --url it works on the storage directory, and only while no server uses it;\n"
    "no server can start meanwhile. Run it as the user that owns the "
    "directory.\n" PKC_ADMIN_EXIT_CODES;
constexpr std::string_view kRemoveDetails =
    "In the space fetch, a KEY is the SHA-256 of a URL: the server forgets the URL, and its\n"
    "file goes as well, unless another URL has the same one or there are more than 1000.\n"
    "\n"
    "Without --url it works on the storage directory, and only while no server uses it;\n"
    "no server can start meanwhile. Run it as the user that owns the "
    "directory.\n" PKC_ADMIN_EXIT_CODES;
constexpr std::string_view kCollectDetails =
    "Without --to-size and --older-than, artifacts go until the limits of the settings\n"
    "(those of the server, with --url) hold: cache-max-size, space-max-size,\n"
    "min-free-space and max-age. Least recently used ones go first, pinned ones never.\n"
    "Downloaded files go only with fetch-evict, or when --space names cas or fetch.\n"
    "\n"
    "Without --url it works on the storage directory, and only while no server uses it;\n"
    "no server can start meanwhile. Run it as the user that owns the "
    "directory.\n" PKC_ADMIN_EXIT_CODES;
constexpr std::string_view kRebuildDetails =
    "Compares every file with the index and corrects that. Pins, access times and hits\n"
    "stay. A server does this by itself where it is needed; with --url one does it now, and\n"
    "serves meanwhile. Otherwise this is for a directory that no server uses, and none can\n"
    "start meanwhile: run it as the user that owns the directory.\n" PKC_ADMIN_EXIT_CODES;
#undef PKC_ADMIN_EXIT_CODES

constexpr std::array kWarmOptions = {
    Option{.name = "jobs", .value = "N", .help = "files at once, 1 to 64; else 4"},
    Option{.name = "format",
           .value = "FORMAT",
           .help = "of the MANIFEST: txt, json or yaml; else by its extension"},
    Option{.name = "refresh", .value = "", .help = "downloads anew what is there already"},
    Option{.name = "timeout", .value = "DURATION", .help = "for one file; else 1h"},
    Option{.name = "retries", .value = "N", .help = "when the server says try later; else 3"},
    Option{.name = "quiet", .value = "", .help = "prints failures only"},
    Option{.name = "json", .value = "", .help = "prints one JSON document, for scripts"},
    kUrl,
    kTokenFile};

constexpr std::string_view kWarmDetails =
    "Asks a running server for every file of the MANIFEST, a few at once, and keeps nothing\n"
    "here. What the server has already is not downloaded again, so a run that was stopped\n"
    "goes on where it was. A MANIFEST of - is standard input. Without --url it asks the\n"
    "server with these settings, on this machine.\n"
    "\n"
    "A text MANIFEST has one file a line: its URL, and checksums behind it, if any, as\n"
    "sha256:HEX (sha512, sha1, md5) or HEX alone; # begins a comment. In YAML and JSON it is\n"
    "a list of such lines, or of groups with url and sha256 (sha512, sha1, md5) or checksum;\n"
    "it may stand under files, artifacts or urls.\n"
    "\n"
    "Exit codes:\n"
    "  0  the server has every file\n"
    "  1  it does not; standard error says which and why\n"
    "  2  wrong flags, options, variables, settings file or MANIFEST; nothing was asked for\n"
    "  128 and the number of a signal that ended it (Ctrl-C: 130); the summary is printed\n";

constexpr std::string_view kDoctorDetails =
    "Reads what the server reads, looks at directory, disk, address, certificates,\n"
    "limits and clock, and prints a line for each: ok, note, warning or problem, with\n"
    "what to do. Run it as the user that runs the server; also beside a server. Nothing\n"
    "is changed: a small file is written to the directory, if that exists, and removed.\n"
    "\n"
    "Exit codes:\n"
    "  0  nothing stops the server\n"
    "  1  something does\n"
    "  2  wrong flags, variables or settings file; standard error says which\n";

constexpr std::array kFsckOptions = {
    Option{.name = "repair", .value = "", .help = "heals what can be healed"},
    Option{.name = "dry-run",
           .value = "",
           .help = "tells what --repair would do, and changes nothing"},
    Option{
        .name = "verify-content", .value = "", .help = "reads every blob and compares its digest"},
    Option{.name = "jobs",
           .value = "N",
           .help = "directories looked at at once, 1 to 64; default: up to 4"},
    Option{.name = "json", .value = "", .help = "prints one JSON document, for scripts"},
};

constexpr std::string_view kFsckDetails =
    "Works whether the server runs or not: what looks damaged is looked at again under\n"
    "the lock of its key, and so is what is repaired. A healthy artifact is never\n"
    "touched. Prints a line for each finding, with its space, and a summary; the progress,\n"
    "on a terminal.\n"
    "\n"
    "All spaces are checked: artifacts (polykit), downloaded files (cas) and what is known\n"
    "of their URLs (fetch). --verify-content also decodes downloaded files, and tells of a\n"
    "URL whose file is gone; that is no damage, as the next download brings it again, and\n"
    "what is known of the URL stays.\n"
    "\n"
    "--repair removes what readers do not see anyway (blobs without a valid sidecar,\n"
    "sidecars without a blob, pairs that disagree, abandoned uploads) and puts blobs with\n"
    "wrong bytes into quarantine. Where the index differs from the files, it corrects the\n"
    "index; pins stay. Empty directories go when no server runs. Files that\n"
    "are not the server's are told, and left alone. Root does it as the owner of the\n"
    "directory.\n"
    "\n"
    "Exit codes:\n"
    "  0  no damage, or all of it was repaired\n"
    "  1  damage is left\n"
    "  2  wrong flags, variables or settings file; standard error says which\n"
    "  3  the directory or its index could not be checked, or the report not be written\n"
    "  4  stopped by SIGINT, SIGTERM or SIGHUP; the report is of what was looked at\n";

constexpr std::array kTokenCreateOptions = {
    Option{.name = "name", .value = "NAME", .help = "what log lines call its holder"},
    Option{.name = "scope",
           .value = "LIST",
           .help = "of read, write, metrics, admin (which includes all others)",
           .times = Option::Times::many},
    Option{.name = "space",
           .value = "LIST",
           .help = "where, such as polykit; every space otherwise",
           .times = Option::Times::many},
    Option{.name = "project",
           .value = "LIST",
           .help = "for protocols that have projects; every one otherwise",
           .times = Option::Times::many},
    Option{.name = "expires", .value = "WHEN", .help = "90d from now on, or 2027-01-31T12:00:00Z"},
    Option{.name = "user", .value = "USER", .help = "must come with it in Basic; any otherwise"},
    Option{.name = "requests-per-second", .value = "N", .help = "more are answered 429"},
    Option{.name = "requests-burst", .value = "N", .help = "of them at once, after a pause"},
    Option{.name = "read-bytes-per-second", .value = "SIZE", .help = "downloads go no faster"},
    Option{.name = "write-bytes-per-second", .value = "SIZE", .help = "nor uploads"},
    Option{.name = "write-bytes-per-day", .value = "SIZE", .help = "more are answered 403"},
};

constexpr std::array kCommands = {
    Command{
        .syntax = {.command = "serve"}, .help = "runs the server; the default", .run = run_serve},
    Command{.syntax = {.command = "healthcheck"},
            .help = "asks the server with these settings, on this machine, whether it is well",
            .run = run_healthcheck},
    Command{.syntax = {.command = "stats", .options = kStatsOptions},
            .help = "tells how much is stored, and what the limits are",
            .details = kReadingDetails,
            .run = run_stats},
    Command{.syntax = {.command = "ls", .options = kListOptions},
            .help = "lists artifacts: key, size, times, hits, pinned or not; downloads with URLs",
            .details = kReadingDetails,
            .run = run_ls},
    Command{.syntax = {.command = "get",
                       .options = kTransferOptions,
                       .operands = {.syntax = "KEY [FILE]", .min = 1, .max = 2}},
            .help = "writes an artifact to a file, or to standard output",
            .details = kGetDetails,
            .run = run_get},
    Command{.syntax = {.command = "put",
                       .options = kTransferOptions,
                       .operands = {.syntax = "KEY FILE", .min = 2, .max = 2}},
            .help = "stores a file as an artifact, checked as every upload is",
            .details = kChangingDetails,
            .run = run_put},
    Command{.syntax = {.command = "rm", .options = kKeyOptions, .operands = kKeys},
            .help = "removes artifacts",
            .details = kRemoveDetails,
            .run = run_rm},
    Command{.syntax = {.command = "pin", .options = kKeyOptions, .operands = kKeys},
            .help = "keeps artifacts from being evicted",
            .details = kChangingDetails,
            .run = run_pin},
    Command{.syntax = {.command = "unpin", .options = kKeyOptions, .operands = kKeys},
            .help = "lets them be evicted again",
            .details = kChangingDetails,
            .run = run_unpin},
    Command{.syntax = {.command = "warm",
                       .options = kWarmOptions,
                       .operands = {.syntax = "MANIFEST",
                                    .min = 1,
                                    .max = 1,
                                    .first = Operands::First::file}},
            .help = "has a server download the files of a list, ahead of time",
            .details = kWarmDetails,
            .run = run_warm},
    Command{.syntax = {.command = "gc", .options = kCollectOptions},
            .help = "evicts artifacts now",
            .details = kCollectDetails,
            .run = run_gc},
    Command{.syntax = {.command = "index rebuild", .options = kRebuildOptions},
            .help = "brings the index in step with the files",
            .details = kRebuildDetails,
            .run = run_index_rebuild},
    Command{.syntax = {.command = "config show", .options = kConfigShowOptions},
            .help = "prints every setting, its value and where that came from",
            .run = run_config_show},
    Command{.syntax = {.command = "config check"},
            .help = "tells what is wrong with the settings, if anything",
            .run = run_config_check},
    Command{.syntax = {.command = "config sample"},
            .help = "prints a settings file with everything explained",
            .reads = Reads::nothing,
            .run = run_config_sample},
    Command{.syntax = {.command = "doctor", .options = kDoctorOptions},
            .help = "looks for what would keep the server from its work, and says what to do",
            .details = kDoctorDetails,
            .run = run_doctor},
    Command{.syntax = {.command = "config man"},
            .help = "",
            .reads = Reads::nothing,
            .run = run_config_man},
    Command{.syntax = {.command = "fsck", .options = kFsckOptions},
            .help = "checks the storage directory, and repairs it if told to",
            .details = kFsckDetails,
            .run = run_fsck},
    Command{.syntax = {.command = "config table"},
            .help = "",
            .reads = Reads::nothing,
            .run = run_config_table},
    Command{.syntax = {.command = "completion bash"},
            .help = "prints what makes bash complete our commands, flags and values",
            .details = "\nFor this shell: source <(polykit-cache completion bash)\n",
            .reads = Reads::nothing,
            .run = run_completion_bash},
    Command{
        .syntax = {.command = "completion zsh"},
        .help = "the same for zsh",
        .details = "\nFor this shell, behind compinit: source <(polykit-cache completion zsh)\n",
        .reads = Reads::nothing,
        .run = run_completion_zsh},
    Command{.syntax = {.command = "completion fish"},
            .help = "the same for fish",
            .details = "\nFor this shell: polykit-cache completion fish | source\n",
            .reads = Reads::nothing,
            .run = run_completion_fish},
    Command{.syntax = {.command = "token create", .options = kTokenCreateOptions},
            .help = "makes a token, prints it once, and writes its hash to the auth file",
            .details = "The token alone goes to standard output. A LIST is separated by commas.\n"
                       "Exit codes: 0 made, 1 the file cannot be edited, 2 wrong options.\n",
            .run = run_token_create},
    Command{.syntax = {.command = "token list", .options = kJsonOnly},
            .help = "prints the tokens of the auth file: name, rights, expiry, limits",
            .run = run_token_list},
    Command{
        .syntax = {.command = "token revoke", .operands = {.syntax = "NAME", .min = 1, .max = 1}},
        .help = "takes a token out of the auth file",
        .run = run_token_revoke},
    Command{.syntax = {.command = "version", .options = kJsonOnly},
            .help = "prints the version",
            .reads = Reads::nothing,
            .run = run_version},
};

/// A line of a list: `name`, and `help` in a column of its own.
std::string listed(std::string_view name, std::string_view help) {
  constexpr std::size_t kColumn = 18;
  std::string line = "  ";
  line += name;
  line.resize(std::max(kColumn, line.size() + 1), ' ');
  return line.append(help).append("\n");
}

constexpr std::string_view kAboutFlags =
    "Each flag below is also an environment variable (--max-size is\n"
    "POLYKIT_CACHE_MAX_SIZE) and a key of the settings file (max_size). A flag beats\n"
    "the variable, which beats the file. A SIZE is a number of bytes or has a unit\n"
    "that is a power of 1024 (512KiB, 5G); a DURATION is a number of seconds or has\n"
    "one of ms, s, m, h, d.\n"
    "\n";

std::string usage() {
  std::string text =
      "polykit-cache is a build cache server.\n"
      "\n"
      "Usage: polykit-cache [command] [flags]\n"
      "\n"
      "Commands (`polykit-cache <command> --help` tells more):\n";
  for (const Command& command : kCommands) {
    if (!command.help.empty()) {
      text += listed(command.syntax.command, command.help);
    }
  }
  text += "\n" + listed("-h, --help", "prints this text") +
          listed("-V, --version", "prints the version") + "\n";
  text += kAboutFlags;
  text += config::help_text();
  text +=
      "\n"
      "Exit codes:\n"
      "  0  done; for the server: stopped by SIGTERM or SIGINT\n"
      "  1  the server could not start or go on, and the last line of the log says why;\n"
      "     or it is not healthy; or the doctor has found a problem; or another command\n"
      "     failed, or named an artifact that does not exist\n"
      "  2  wrong flags, variables or settings file; standard error says which\n"
      "Other commands have more; their --help lists them.\n";
  return text;
}

/// The help of one command, but for the server's: that is the whole.
std::string usage_of(const Command& command) {
  std::string text = "Usage: polykit-cache " + std::string(command.syntax.command);
  text += command.syntax.options.empty() ? "" : " [options]";
  text += command.reads == Reads::settings ? " [flags]" : "";
  if (!command.syntax.operands.syntax.empty()) {
    text.append(" ").append(command.syntax.operands.syntax);
  }
  std::string help(command.help);
  help.front() = static_cast<char>(std::toupper(help.front()));
  text.append("\n\n").append(help).append(".\n").append(command.details);
  if (!command.syntax.options.empty()) {
    text += "\nOptions:\n";
  }
  for (const Option& option : command.syntax.options) {
    const std::string_view blank = option.value.empty() ? "" : " ";
    text += listed("--" + std::string(option.name).append(blank).append(option.value), option.help);
  }
  if (command.reads == Reads::settings) {
    text += "\nThe flags are the settings; `polykit-cache --help` lists them.\n";
  }
  return text;
}

const Command* find_command(std::string_view name) {
  const auto* const found = std::ranges::find(
      kCommands, name, [](const Command& command) { return command.syntax.command; });
  return found == kCommands.end() ? nullptr : found;
}

/// The members of a group, for whoever named only the group: "show, check or sample".
std::string members_of(std::string_view group) {
  std::vector<std::string_view> members;
  for (const Command& command : kCommands) {
    const std::string_view name = command.syntax.command;
    if (!command.help.empty() && name.size() > group.size() && name.starts_with(group)) {
      members.push_back(name.substr(group.size() + 1));
    }
  }
  std::string text;
  for (std::size_t at = 0; at < members.size(); ++at) {
    const std::string_view separator = at + 1 == members.size() ? " or " : ", ";
    text.append(at == 0 ? "" : separator).append(members[at]);
  }
  return text;
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

/// Prints the help of a command that was named with --help.
int print_help(const Command* command) {
  const bool whole =
      command == nullptr || command->syntax.command == "serve" || command->help.empty();
  return print(whole ? usage() : usage_of(*command));
}

int dispatch(Invocation invocation) {
  Arguments& arguments = invocation.arguments;
  const Command* const command =
      find_command(arguments.command.empty() ? "serve" : arguments.command);
  if (arguments.help) {
    return print_help(command);
  }
  if (arguments.version) {
    return run_version(invocation);
  }
  if (command == nullptr) {
    arguments.problems.push_back(arguments.command +
                                 " needs to know what: " + members_of(arguments.command));
  }
  if (command == nullptr || command->reads == Reads::nothing) {
    const config::Problems problems = problems_of_flags(arguments);
    if (!problems.empty()) {
      return print_problems(problems);
    }
  }
  return command->run(invocation);
}

} // namespace

int run_completion_bash(const Invocation& /*invocation*/) {
  return print(bash_completion(kCommands));
}

int run_completion_zsh(const Invocation& /*invocation*/) {
  return print(zsh_completion(kCommands));
}

int run_completion_fish(const Invocation& /*invocation*/) {
  return print(fish_completion(kCommands));
}

int run_version(const Invocation& invocation) {
  if (invocation.arguments.has("json")) {
    const nlohmann::ordered_json facts = {{"version", kVersion}, {"commit", kCommit}};
    return print(facts.dump() + "\n");
  }
  std::string text = "polykit-cache " + std::string(kVersion);
  if (!kCommit.empty()) {
    text.append(" (").append(kCommit).append(")");
  }
  return print(text + "\n");
}

int run(const std::vector<std::string>& words, std::vector<config::Assignment> environment) {
  try {
    std::vector<Syntax> commands;
    std::ranges::transform(kCommands, std::back_inserter(commands), &Command::syntax);
    return dispatch(Invocation{.arguments = parse_arguments(words, commands),
                               .environment = std::move(environment)});
  } catch (const std::system_error& error) {
    const bool no_thread = error.code() == std::errc::resource_unavailable_try_again;
    print_error("polykit-cache: " +
                (no_thread ? "this user may have no more threads; raise the limit (ulimit -u, "
                             "TasksMax= of systemd, pids of a container)"
                           : std::string(error.what())) +
                "\n");
    return kExitFailed;
  } catch (const std::exception& error) {
    print_error(std::string("polykit-cache: ") + error.what() + "\n");
    return kExitFailed;
  }
}

} // namespace pkc::cli
