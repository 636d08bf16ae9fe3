#include "warm_report.hpp"

#include "exit_codes.hpp"
#include "progress.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pkc::cli {

namespace {

using app::WarmedFile;
using app::WarmReport;
using nlohmann::ordered_json;
using Outcome = WarmedFile::Outcome;

constexpr int kNotFound = 404;

struct Totals {
  std::size_t files = 0;
  ByteCount bytes = 0;
};

Totals totals_of(const WarmReport& report, Outcome outcome) {
  Totals totals;
  for (const WarmedFile& file : report.files) {
    if (file.outcome == outcome) {
      ++totals.files;
      totals.bytes += file.size;
    }
  }
  return totals;
}

/// What a server or an origin wrote is not for the terminal to act on.
std::string shown(std::string text) {
  std::ranges::replace_if(text, [](char c) { return (c >= 0 && c < ' ') || c == '\x7f'; }, ' ');
  return text;
}

ordered_json told_by(const WarmedFile& file) {
  auto told = ordered_json::parse(file.answer, nullptr, false);
  return told.is_object() ? told : ordered_json::object();
}

std::string text_in(const ordered_json& object, std::string_view name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// "the sha256 of … (expected …, actual …)".
std::string message_of(const WarmedFile& file, const ordered_json& told) {
  if (!file.reason.empty()) {
    return file.reason;
  }
  if (file.status == kNotFound) { // GET /fetch never answers that
    return "the server answers 404: it is none of ours, or has no /fetch";
  }
  if (!told.contains("error")) {
    return "the server answers " + std::to_string(file.status);
  }
  std::string text = text_in(told, "message");
  if (told.contains("details")) {
    text += ": " + text_in(told, "details");
  }
  if (told.contains("expected") && told.contains("actual")) {
    text += " (expected " + text_in(told, "expected") + ", actual " + text_in(told, "actual") + ")";
  }
  return text;
}

/// "checksum_mismatch: the sha256 of …", fit for a terminal.
std::string reason_of(const WarmedFile& file) {
  const ordered_json told = told_by(file);
  const std::string error = file.status == kNotFound ? "" : text_in(told, "error");
  const std::string message = message_of(file, told);
  return shown(error + (error.empty() || message.empty() ? "" : ": ") + message);
}

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::not_done:
      return "not_done";
    case Outcome::present:
      return "present";
    case Outcome::downloaded:
      return "downloaded";
    case Outcome::failed:
      return "failed";
  }
  std::unreachable();
}

ordered_json json_of(const std::string& url, const WarmedFile& file) {
  ordered_json object = {{"url", url}, {"result", name_of(file.outcome)}};
  if (file.outcome == Outcome::failed) {
    const ordered_json told = told_by(file);
    object["status"] = file.status == 0 ? ordered_json(nullptr) : ordered_json(file.status);
    object["error"] = text_in(told, "error").empty() ? ordered_json(nullptr) : told["error"];
    object["message"] = message_of(file, told);
  } else if (file.outcome != Outcome::not_done) {
    object["size"] = file.size;
    object["sha256"] = file.sha256.empty() ? ordered_json(nullptr) : ordered_json(file.sha256);
  }
  return object;
}

/// What a server wrote need not be UTF-8, and a strict dump would throw.
std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

} // namespace

std::string warm_summary(const WarmReport& report) {
  const Totals downloaded = totals_of(report, Outcome::downloaded);
  const Totals not_done = totals_of(report, Outcome::not_done);
  std::string text = "downloaded " + std::to_string(downloaded.files) + " (" +
                     readable_size(downloaded.bytes) + "), already there " +
                     std::to_string(totals_of(report, Outcome::present).files) + ", failed " +
                     std::to_string(totals_of(report, Outcome::failed).files);
  if (not_done.files > 0) {
    text += ", not done " + std::to_string(not_done.files);
  }
  return text + "\n";
}

std::string warm_failures(const config::Manifest& manifest, const WarmReport& report) {
  std::string text;
  for (std::size_t at = 0; at < report.files.size(); ++at) {
    if (report.files[at].outcome == Outcome::failed) {
      text +=
          "polykit-cache: " + manifest.files[at].url + ": " + reason_of(report.files[at]) + "\n";
    }
  }
  if (report.given_up_at && totals_of(report, Outcome::not_done).files > 0) {
    text += "polykit-cache: given up, as the other files would fail in the same way\n";
  }
  return text;
}

std::string warm_json(const config::Manifest& manifest, const WarmReport& report) {
  const Totals downloaded = totals_of(report, Outcome::downloaded);
  const Totals present = totals_of(report, Outcome::present);
  const ordered_json head = {{"downloaded", downloaded.files},
                             {"downloaded_bytes", downloaded.bytes},
                             {"present", present.files},
                             {"present_bytes", present.bytes},
                             {"failed", totals_of(report, Outcome::failed).files},
                             {"not_done", totals_of(report, Outcome::not_done).files},
                             {"repeated", manifest.repeated},
                             {"given_up", report.given_up_at.has_value()},
                             {"interrupted", report.signal != 0}};
  std::string text = dumped(head);
  text.back() = ',';
  text += "\"files\":[";
  for (std::size_t at = 0; at < report.files.size(); ++at) {
    text += at == 0 ? "\n" : ",\n";
    text += dumped(json_of(manifest.files[at].url, report.files[at]));
  }
  return text + "\n]}\n";
}

int warm_exit_code(const WarmReport& report) {
  if (report.signal != 0) {
    return kExitSignal + report.signal;
  }
  const bool all = totals_of(report, Outcome::failed).files == 0 &&
                   totals_of(report, Outcome::not_done).files == 0;
  return all ? kExitOk : kExitFailed;
}

} // namespace pkc::cli
