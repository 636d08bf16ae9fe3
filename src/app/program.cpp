#include "program.hpp"

#include "environment.hpp"
#include "handover.hpp"

#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string_view>
#include <system_error>

namespace pkc::app {

namespace {

constexpr const char* kSelf = "/proc/self/exe";

/// Those are addressed to one process, by its number or by descriptors that only it has.
constexpr std::array<std::string_view, 5> kPersonal{
    "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", kHandoverVariable};

bool is_self(const std::string& path) {
  struct stat named{};
  struct stat self{};
  return ::stat(path.c_str(), &named) == 0 && ::stat(kSelf, &self) == 0 &&
         named.st_dev == self.st_dev && named.st_ino == self.st_ino;
}

/// The path that exec was given comes first: if it is a link, whoever installs a new version may
/// have turned it by the time of a hand-over.
std::string find_path() {
  const unsigned long given = ::getauxval(AT_EXECFN);
  std::error_code error;
  if (given != 0) {
    const std::filesystem::path path(reinterpret_cast<const char*>(given)); // NOLINT(*-int-to-ptr)
    const std::string absolute = std::filesystem::absolute(path, error).string();
    const bool fleeting = absolute.starts_with("/dev/fd/") || absolute.starts_with("/proc/");
    if (!error && !fleeting && is_self(absolute)) {
      return absolute;
    }
  }
  const std::string resolved = std::filesystem::read_symlink(kSelf, error).string();
  return !error && is_self(resolved) ? resolved : kSelf;
}

std::optional<pid_t> process_in(const char* variable) {
  const char* const text =
      std::getenv(variable); // NOLINT(concurrency-mt-unsafe): no other thread yet
  return text == nullptr ? std::nullopt : parse_decimal<pid_t>(text);
}

std::vector<std::string> public_environment() {
  const auto watched = process_in("WATCHDOG_PID");
  const bool watches_us = !watched || *watched == ::getpid();
  std::vector<std::string> kept;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::string_view name = text.substr(0, text.find('='));
    if (std::ranges::find(kPersonal, name) == kPersonal.end() &&
        (name != "WATCHDOG_USEC" || watches_us)) {
      kept.emplace_back(text);
    }
  }
  return kept;
}

} // namespace

Result<Program> Program::capture() {
  if (::getpid() == 1) {
    return fail(Errc::unavailable, "this is process 1 of its container, which ends with it");
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread yet
  if (process_in("SYSTEMD_EXEC_PID") == ::getpid() && std::getenv("NOTIFY_SOCKET") == nullptr) {
    return fail(Errc::unavailable,
                "systemd would end the service with this process; its unit needs Type=notify");
  }
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file || text.empty()) {
    return fail(Errc::io, "/proc does not tell how this process was started");
  }
  Program program{.path = find_path(), .arguments = {}, .environment = public_environment()};
  for (std::size_t at = 0; at < text.size();) {
    program.arguments.emplace_back(text.c_str() + at);
    at += program.arguments.back().size() + 1;
  }
  return program;
}

} // namespace pkc::app
