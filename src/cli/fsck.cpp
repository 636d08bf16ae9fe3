#include "pkc/app/fsck.hpp"

#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/store/fsck.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace pkc::cli {
namespace {

using store::Fault;
using store::Finding;
using store::FsckProgress;
using store::FsckSummary;
using store::Outcome;
using store::Remedy;

struct Mode {
  bool repair = false;
  bool dry_run = false;
  bool verify_content = false;
  bool json = false;
};

/// File names may hold anything, also what a terminal takes for a command.
std::string printable(std::string_view text) {
  std::string result;
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    constexpr unsigned char kDelete = 0x7f;
    if (code >= ' ' && code != kDelete) {
      result += byte;
    } else {
      std::array<char, 5> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned>(code));
      result += escaped.data();
    }
  }
  return result;
}

/// "1.5 GiB".
std::string rounded(ByteCount size) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto number = static_cast<double>(size);
  std::size_t unit = 0;
  while (number >= 1024 && unit + 1 < kUnits.size()) {
    number /= 1024;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f" : "%.1f", number);
  return std::string(text.data()).append(" ").append(kUnits.at(unit));
}

std::string counted(std::uint64_t number, std::string_view noun, std::string_view plural) {
  return std::to_string(number).append(" ").append(number == 1 ? noun : plural);
}

/// What was or would be done about a finding, for people and as an element of the JSON report.
std::string_view action_of(const Finding& finding, const Mode& mode) {
  const Remedy remedy = store::remedy_of(finding.fault);
  if (remedy == Remedy::none) {
    return "left alone";
  }
  if (finding.outcome == Outcome::failed) {
    return "failed";
  }
  const bool done = finding.outcome == Outcome::repaired;
  if (!done && !mode.dry_run) {
    return "found";
  }
  switch (remedy) {
    case Remedy::remove:
      return done ? "removed" : "would remove";
    case Remedy::quarantine:
      return done ? "quarantined" : "would quarantine";
    case Remedy::index:
      return done ? "index updated" : "would update index";
    case Remedy::none:
      break;
  }
  std::unreachable();
}

/// What lies in no space is told so.
nlohmann::ordered_json space_of(const Finding& finding) {
  return finding.space.empty() ? nlohmann::ordered_json(nullptr)
                               : nlohmann::ordered_json(finding.space);
}

nlohmann::ordered_json json_of(const Finding& finding, const Mode& mode) {
  nlohmann::ordered_json object = {{"fault", store::to_string(finding.fault)},
                                   {"damage", store::is_damage(finding.fault)},
                                   {"space", space_of(finding)},
                                   {"subject", finding.subject},
                                   {"detail", finding.detail},
                                   {"action", action_of(finding, mode)}};
  if (!finding.reason.empty()) {
    object["reason"] = finding.reason;
  }
  return object;
}

/// Names need not be UTF-8, and a strict dump would throw.
std::string dumped(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

nlohmann::ordered_json json_of(const FsckSummary& summary) {
  nlohmann::ordered_json found = nlohmann::ordered_json::object();
  for (std::size_t at = 0; at < store::kFaults; ++at) {
    found[std::string(store::to_string(static_cast<Fault>(at)))] = {
        {"found", summary.found.at(at)}, {"repaired", summary.repaired.at(at)}};
  }
  nlohmann::ordered_json spaces = nlohmann::ordered_json::object();
  for (const store::FsckSpaceSummary& space : summary.spaces) {
    spaces[space.space] = {
        {"objects", space.objects}, {"size", space.size}, {"damages", space.damages}};
  }
  return {{"objects", summary.seen.objects},
          {"size", summary.seen.size},
          {"shards", summary.seen.shards},
          {"shards_done", summary.seen.shards_done},
          {"damages", summary.seen.damages},
          {"left", summary.left()},
          {"spaces", spaces},
          {"faults", found},
          {"quarantined", summary.quarantined},
          {"quarantined_size", summary.quarantined_size},
          {"uploads", summary.uploads},
          {"interrupted", summary.interrupted},
          {"index_compared", summary.index_skipped.empty()},
          {"index_skipped", summary.index_skipped}};
}

/// Prints as it hears, so that a million findings take no memory.
class Report final : public store::FsckObserver {
 public:
  explicit Report(const Mode& mode) : mode_(mode), shows_progress_(::isatty(STDERR_FILENO) == 1) {}

  void begin() {
    if (mode_.json) {
      out(R"({"version":1,"findings":[)");
    }
  }
  void found(const Finding& finding) override {
    clear_progress();
    if (mode_.json) {
      out((std::exchange(first_, false) ? "\n" : ",\n") + dumped(json_of(finding, mode_)));
      return;
    }
    constexpr std::size_t kFaultWidth = 18;
    constexpr std::size_t kActionWidth = 20;
    constexpr std::size_t kSpaceWidth = 9;
    std::string line(store::to_string(finding.fault));
    line.resize(kFaultWidth, ' ');
    line += action_of(finding, mode_);
    line.resize(kFaultWidth + kActionWidth, ' ');
    line += finding.space.empty() ? "-" : finding.space;
    line.resize(kFaultWidth + kActionWidth + kSpaceWidth, ' ');
    line += printable(finding.subject);
    for (const std::string& text : {finding.detail, finding.reason}) {
      line += text.empty() ? "" : ": " + printable(text);
    }
    out(line + "\n");
  }
  void progress(const FsckProgress& progress) override;
  void end(const FsckSummary& summary) {
    clear_progress();
    out(mode_.json ? "\n],\"summary\":" + dumped(json_of(summary)) + "}\n" : text_of(summary));
  }
  /// The check could not be done, or not to its end.
  void break_off(const Error& error) {
    clear_progress();
    if (mode_.json) {
      out("\n],\"error\":" + dumped(error.message) + "}\n");
    }
    print_error("polykit-cache: " + printable(error.message) + "\n");
  }
  [[nodiscard]] bool output_failed() const { return output_failed_; }

 private:
  void out(const std::string& text) { output_failed_ = print(text) != kExitOk || output_failed_; }
  void clear_progress() {
    if (std::exchange(progress_shown_, false)) {
      print_error("\r\033[K");
    }
  }
  [[nodiscard]] std::string text_of(const FsckSummary& summary) const;

  Mode mode_;
  bool shows_progress_;
  bool progress_shown_ = false;
  SteadyTime next_progress_;
  bool first_ = true;
  bool output_failed_ = false;
};

void Report::progress(const FsckProgress& progress) {
  constexpr auto kInterval = std::chrono::milliseconds(200);
  const SteadyTime now = system_clock().steady_now();
  if (!shows_progress_ || now < next_progress_) {
    return;
  }
  next_progress_ = now + kInterval;
  progress_shown_ = true;
  print_error("\r\033[K" + std::to_string(progress.shards_done) + " of " +
              counted(progress.shards, "directory", "directories") + ", " +
              counted(progress.objects, "object", "objects") + " (" + rounded(progress.size) +
              "), " + counted(progress.damages, "damage", "damages"));
}

std::string Report::text_of(const FsckSummary& summary) const {
  const std::uint64_t left = summary.left();
  std::string text = counted(summary.seen.objects, "healthy object", "healthy objects") + " (" +
                     rounded(summary.seen.size) + ") in " +
                     counted(summary.seen.shards_done, "directory", "directories") +
                     (mode_.verify_content ? ", contents verified.\n" : ".\n");
  for (const store::FsckSpaceSummary& space : summary.spaces) {
    if (space.objects < summary.seen.objects && space.objects > 0) { // else it says nothing new
      text += "  " + space.space + ": " + counted(space.objects, "object", "objects") + " (" +
              rounded(space.size) + ")\n";
    }
  }
  text += summary.seen.damages == 0 ? std::string("No damage.\n")
                                    : counted(summary.seen.damages, "damage", "damages") + ", " +
                                          std::to_string(summary.seen.damages - left) +
                                          " repaired, " + std::to_string(left) + " left.\n";
  if (summary.quarantined > 0) {
    text += "In quarantine: " + counted(summary.quarantined, "object", "objects") + " (" +
            rounded(summary.quarantined_size) + ").\n";
  }
  if (!summary.index_skipped.empty()) {
    text +=
        "The index was not compared with the files: " + printable(summary.index_skipped) + ".\n";
  }
  if (summary.uploads > 0) {
    text += "In progress: " + counted(summary.uploads, "upload", "uploads") + ".\n";
  }
  if (left > 0 && !mode_.repair) {
    text += mode_.dry_run ? "Nothing was changed: it was a dry run.\n"
                          : "Nothing was changed; --repair heals, --dry-run tells how.\n";
  }
  if (summary.interrupted) {
    text += "The check was interrupted: " +
            std::to_string(summary.seen.shards - summary.seen.shards_done) + " of " +
            counted(summary.seen.shards, "directory", "directories") + " not looked at.\n";
  }
  return text;
}

} // namespace

int run_fsck(const Invocation& given) {
  Invocation invocation = given;
  Arguments& arguments = invocation.arguments;
  constexpr std::uint64_t kJobs = 4;
  constexpr std::uint64_t kJobsMax = 64;
  const std::uint64_t processors = std::max(1U, std::thread::hardware_concurrency());
  const std::uint64_t jobs = take_number(
      arguments, "jobs", {.initial = std::min(kJobs, processors), .min = 1, .max = kJobsMax});
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  const Mode mode{.repair = arguments.has("repair") && !arguments.has("dry-run"),
                  .dry_run = arguments.has("dry-run"),
                  .verify_content = arguments.has("verify-content"),
                  .json = arguments.has("json")};
  Report report(mode);
  report.begin();
  const auto done = app::check_storage(
      loaded->settings,
      {.repair = mode.repair ? store::Repair::yes : store::Repair::no,
       .verify_content = mode.verify_content ? store::VerifyContent::yes : store::VerifyContent::no,
       .jobs = jobs},
      report,
      [heard = false]() mutable {
        if (std::exchange(heard, true)) {
          std::_Exit(kExitInterrupted); // each step of a repair is whole by itself
        }
        print_error("polykit-cache: interrupted; a second signal ends it at once\n");
      });
  if (!done) {
    report.break_off(done.error());
    return kExitNotDone;
  }
  report.end(done->summary);
  if (!done->keys_locked) {
    print_error(
        "polykit-cache: the directory cannot be written, so keys were not locked: what is "
        "uploaded meanwhile may show as damage\n");
  }
  if (report.output_failed()) {
    return kExitNotDone;
  }
  if (done->summary.interrupted) {
    return kExitInterrupted;
  }
  if (done->summary.left() > 0) {
    return kExitFailed;
  }
  return done->summary.index_failed ? kExitNotDone : kExitOk;
}

} // namespace pkc::cli
