// warm: has a server download the files of a manifest.
#include "admin_console.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"
#include "progress.hpp"
#include "warm_report.hpp"

#include "pkc/app/warming.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/config/manifest.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <expected>
#include <string>
#include <utility>

namespace pkc::cli {

namespace {

constexpr std::string_view kStandardInput = "-";

/// What was asked for beside the manifest.
struct Wishes {
  app::WarmOptions options;
  config::ManifestFormat format = config::ManifestFormat::text;
};

std::chrono::milliseconds take_timeout(Arguments& arguments, std::chrono::milliseconds initial) {
  const auto text = arguments.value("timeout");
  if (!text) {
    return initial;
  }
  const auto timeout = parse_duration(*text);
  constexpr std::chrono::hours kLongest{24 * 7};
  if (!timeout || timeout->count() == 0 || *timeout > kLongest) {
    arguments.problems.push_back("--timeout takes a duration up to 7d such as 30m, not \"" + *text +
                                 "\"");
    return initial;
  }
  return *timeout;
}

config::ManifestFormat take_format(Arguments& arguments) {
  const std::string path = arguments.operands.empty() ? "" : arguments.operands.front();
  const auto name = arguments.value("format");
  const auto format =
      name ? config::parse_manifest_format(*name) : config::manifest_format_of(path);
  if (!format) {
    arguments.problems.push_back("--format takes txt, json or yaml, not \"" + *name + "\"");
  }
  return format.value_or(config::ManifestFormat::text);
}

/// Mistakes are added to the problems of the arguments.
Wishes take_wishes(Arguments& arguments) {
  constexpr std::size_t kJobsMax = 64;
  constexpr unsigned kRetriesMax = 100;
  Wishes wishes;
  app::WarmOptions& options = wishes.options;
  options.jobs =
      take_number(arguments, "jobs", {.initial = options.jobs, .min = 1, .max = kJobsMax});
  options.retries_max = static_cast<unsigned>(take_number(
      arguments, "retries", {.initial = options.retries_max, .min = 0, .max = kRetriesMax}));
  options.timeout = take_timeout(arguments, options.timeout);
  options.refresh = arguments.has("refresh") ? app::Refresh::yes : app::Refresh::no;
  options.url = arguments.value("url").value_or("");
  wishes.format = take_format(arguments);
  if (const auto file = arguments.value("token-file")) {
    if (auto token = read_token(*file)) {
      options.token = *std::move(token);
    } else {
      arguments.problems.push_back(token.error().message);
    }
  }
  return wishes;
}

/// All of it, up to a byte more than a manifest may have. Not by FileSystem: it may be a pipe.
Result<std::string> read_all(int descriptor, const std::string& name) {
  std::string text;
  std::string buffer(kStreamBufferSize, '\0');
  while (text.size() <= config::kManifestSizeMax) {
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    const int error_number = errno;
    if (count == 0) {
      break;
    }
    if (count > 0) {
      text.append(buffer, 0, static_cast<std::size_t>(count));
    } else if (error_number != EINTR) {
      return fail_errno(error_number, name);
    }
  }
  return text;
}

Result<config::ConfigFile> read_manifest(const std::string& path) {
  if (path == kStandardInput) {
    TRY_ASSIGN(std::string text, read_all(STDIN_FILENO, "standard input"));
    return config::ConfigFile{.path = "standard input", .text = std::move(text)};
  }
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return fail_errno(errno, path);
  }
  TRY_ASSIGN(std::string text, read_all(file.get(), path));
  return config::ConfigFile{.path = path, .text = std::move(text)};
}

std::expected<config::Manifest, config::Problems> load_manifest(const std::string& path,
                                                                config::ManifestFormat format) {
  const auto file = read_manifest(path);
  if (!file) {
    return std::unexpected(config::Problems{file.error().message});
  }
  return config::parse_manifest(*file, format);
}

/// Shows the progress on a terminal, and what a signal leads to.
class Watcher final : public app::WarmObserver {
 public:
  Watcher(std::size_t files, bool quiet)
      : files_(files), quiet_(quiet), begun_(system_clock().steady_now()) {}

  void progress(const app::WarmProgress& progress) override {
    if (quiet_) {
      return;
    }
    const auto elapsed = system_clock().steady_now() - begun_;
    line_.show(files_text({.done = progress.present + progress.downloaded + progress.failed,
                           .total = files_,
                           .failed = progress.failed,
                           .bytes = progress.bytes},
                          std::chrono::duration_cast<std::chrono::milliseconds>(elapsed)));
  }

  void interrupted(int signal) override {
    line_.clear();
    if (std::exchange(heard_, true)) {
      std::_Exit(kExitSignal + signal); // nothing is kept here that could be left half done
    }
    print_error("polykit-cache: interrupted; a second signal ends it at once\n");
  }

  void end() { line_.clear(); }

 private:
  const std::size_t files_;
  const bool quiet_;
  const SteadyTime begun_;
  ProgressLine line_;
  bool heard_ = false;
};

int report_to_user(const config::Manifest& manifest,
                   const app::WarmReport& report,
                   const Arguments& arguments) {
  int printed = kExitOk;
  if (arguments.has("json")) {
    printed = print(warm_json(manifest, report));
  } else {
    print_error(warm_failures(manifest, report));
    printed = arguments.has("quiet") ? kExitOk : print(warm_summary(report));
  }
  const int status = warm_exit_code(report);
  return status == kExitOk ? printed : status;
}

} // namespace

int run_warm(const Invocation& given) {
  Invocation invocation = given;
  Arguments& arguments = invocation.arguments;
  const Wishes wishes = take_wishes(arguments);
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  const auto manifest = load_manifest(arguments.operands.front(), wishes.format);
  if (!manifest) {
    for (const std::string& problem : manifest.error()) {
      print_error("polykit-cache: " + problem + "\n");
    }
    return kExitUsage;
  }
  ::signal(SIGPIPE, SIG_IGN); // a server that goes away is an answer, not the end of us
  Watcher watcher(manifest->files.size(), arguments.has("quiet"));
  const auto report = app::warm(loaded->settings, manifest->files, wishes.options, watcher);
  watcher.end();
  if (report) {
    return report_to_user(*manifest, *report, arguments);
  }
  if (report.error().code == Errc::invalid_argument) {
    return print_problems({report.error().message});
  }
  print_error("polykit-cache: " + report.error().message + "\n");
  return kExitFailed;
}

} // namespace pkc::cli
