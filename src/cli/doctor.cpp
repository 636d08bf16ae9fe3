#include "pkc/app/doctor.hpp"

#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/base/file_system.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

namespace pkc::cli {
namespace {

using app::Finding;
using app::Verdict;

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size() + 1), ' ');
  return text;
}

/// Two columns, then the text; advice stands below it.
std::string line_of(const Finding& finding) {
  constexpr std::size_t kVerdictWidth = 9;
  constexpr std::size_t kCheckWidth = 13;
  std::string text = padded(std::string(to_string(finding.verdict)), kVerdictWidth) +
                     padded(finding.check, kCheckWidth) + finding.text + "\n";
  if (!finding.advice.empty()) {
    text += std::string(kVerdictWidth + kCheckWidth, ' ') + "-> " + finding.advice + "\n";
  }
  return text;
}

std::size_t count(const std::vector<Finding>& findings, Verdict verdict) {
  return static_cast<std::size_t>(std::ranges::count(findings, verdict, &Finding::verdict));
}

std::string counted(std::size_t number, const std::string& noun) {
  return std::to_string(number) + " " + noun + (number == 1 ? "" : "s");
}

std::string summary(const std::vector<Finding>& findings) {
  const std::size_t problems = count(findings, Verdict::problem);
  const std::size_t warnings = count(findings, Verdict::warning);
  const std::string more = warnings == 0 ? "" : ", " + counted(warnings, "warning");
  return problems == 0 ? "\nNothing stops the server" + more + ".\n"
                       : "\n" + counted(problems, "problem") + more + ".\n";
}

/// {"problems": 1, "warnings": 0, "findings": [{"verdict": …, "check": …, "text": …, "advice": …}]}
std::string json_of(const std::vector<Finding>& findings) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    list.push_back({{"verdict", to_string(finding.verdict)},
                    {"check", finding.check},
                    {"text", finding.text},
                    {"advice", finding.advice}});
  }
  const nlohmann::ordered_json document = {{"problems", count(findings, Verdict::problem)},
                                           {"warnings", count(findings, Verdict::warning)},
                                           {"findings", std::move(list)}};
  // Paths need not be UTF-8, and a strict dump would throw.
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

/// Wrong settings are findings too for whoever reads JSON.
int print_json_problems(const config::Problems& problems) {
  std::vector<Finding> findings;
  for (const std::string& problem : problems) {
    findings.push_back({Verdict::problem, "settings", problem, "polykit-cache --help"});
  }
  const int printed = print(json_of(findings));
  return printed == kExitOk ? kExitUsage : printed;
}

Finding settings_finding(const config::Settings& settings) {
  const std::string file =
      settings.config_file.empty() ? "no file is read" : "the file is " + settings.config_file;
  return {Verdict::ok, "settings", "they are valid; " + file, ""};
}

} // namespace

int run_doctor(const Invocation& invocation) {
  const bool json = invocation.arguments.has("json");
  const auto loaded = load(invocation);
  if (!loaded) {
    return json ? print_json_problems(loaded.error()) : print_problems(loaded.error());
  }
  std::vector<Finding> findings;
  int status = kExitOk;
  const auto take = [&](const Finding& finding) {
    findings.push_back(finding);
    if (!json) {
      status = std::max(status, print(line_of(finding))); // at once: the next check may take long
    }
  };
  take(settings_finding(loaded->settings));
  app::examine(loaded->settings, take);
  status = std::max(status, print(json ? json_of(findings) : summary(findings)));
  return count(findings, Verdict::problem) == 0 ? status : kExitFailed;
}

} // namespace pkc::cli
