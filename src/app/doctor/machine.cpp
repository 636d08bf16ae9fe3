#include "checks.hpp"
#include "judgement.hpp"

#include "pkc/base/clock.hpp"

#include <pwd.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace pkc::app {

namespace {

/// The limit that a process may raise its own to; what is unlimited is a very large number.
std::optional<std::uint64_t> hard_limit(int resource) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) {
    return std::nullopt;
  }
  // Sums are made with it.
  constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint32_t>::max();
  return limit.rlim_max == RLIM_INFINITY ? kUnlimited : limit.rlim_max;
}

void check_limits(const config::Settings& settings, const FindingSink& sink) {
  if (const auto files = hard_limit(RLIMIT_NOFILE)) {
    sink(judge_descriptors({.limit = *files,
                            .workers_max = settings.workers_max,
                            .open_files_max = settings.open_files_max,
                            .connections_max = settings.max_connections}));
  }
  rlimit size{};
  // The soft one: the server does not raise it.
  if (::getrlimit(RLIMIT_FSIZE, &size) == 0 && size.rlim_cur != RLIM_INFINITY) {
    sink(judge_file_size_limit(size.rlim_cur, settings.max_size));
  }
}

/// Whether something keeps the kernel's clock right; yes when it does not tell.
bool is_synchronised() {
  timex state{}; // asks only: no mode is set
  return ::adjtimex(&state) != TIME_ERROR;
}

std::optional<WallTime> last_change(const std::string& directory) {
  struct stat status{};
  if (::stat(directory.c_str(), &status) != 0) {
    return std::nullopt;
  }
  return WallTime{std::chrono::seconds(status.st_mtim.tv_sec)};
}

void check_kernel(const FindingSink& sink) {
  utsname name{};
  std::string kernel = "an unknown kernel";
  if (::uname(&name) == 0) {
    kernel = std::string(static_cast<const char*>(name.sysname)) + ' ' +
             static_cast<const char*>(name.release) + ' ' + static_cast<const char*>(name.machine);
  }
  std::array<char, 64> library{}; // "glibc 2.36"
  ::confstr(_CS_GNU_LIBC_VERSION, library.data(), library.size());
  sink({Verdict::ok,
        "machine",
        kernel + ", " + library.data() + ", " +
            std::to_string(std::thread::hardware_concurrency()) + " processors",
        ""});
}

} // namespace

std::string user_name(uid_t user) {
  constexpr std::size_t kMemory = 16 * kKiB;
  std::vector<char> memory(kMemory);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(user, &entry, memory.data(), memory.size(), &found) == 0 && found != nullptr) {
    return found->pw_name;
  }
  return "user " + std::to_string(user);
}

void check_machine(const config::Settings& settings, const FindingSink& sink) {
  check_limits(settings, sink);
  sink(judge_clock({.now = system_clock().wall_now(),
                    .last_change = last_change(settings.storage_dir),
                    .synchronised = is_synchronised()}));
  check_kernel(sink);
}

} // namespace pkc::app
