#include "notifier.hpp"

#include "environment.hpp"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <system_error>

namespace pkc::app {

namespace {

/// A manager that asks for more has written nonsense; keeps sums of times far from overflow.
constexpr std::chrono::hours kWatchdogMax{24 * 365};
constexpr std::chrono::microseconds kWatchdogStepMin{1'000};
constexpr int kSendSeconds = 5;

std::chrono::microseconds take_watchdog() {
  const auto process = take_variable("WATCHDOG_PID");
  const auto period = take_variable("WATCHDOG_USEC");
  if (!period || (process && parse_decimal<pid_t>(*process) != ::getpid())) {
    return {};
  }
  const std::chrono::microseconds asked(parse_decimal<std::int64_t>(*period).value_or(0));
  return asked.count() > 0 && asked <= kWatchdogMax ? asked : std::chrono::microseconds{};
}

} // namespace

NotifyOptions take_notify_options() {
  return {.socket = take_variable("NOTIFY_SOCKET").value_or(""), .watchdog = take_watchdog()};
}

void Notifier::ready(std::string_view address) {
  tell("READY=1\nSTATUS=listening on " + std::string(address));
}

void Notifier::stopping() {
  tell("STOPPING=1\nSTATUS=finishing the requests in flight");
}

Result<void> Notifier::handed_over_to(pid_t process) const {
  return options_.socket.empty() ? Result<void>{} : send("MAINPID=" + std::to_string(process));
}

Result<std::jthread> Notifier::watch() {
  if (options_.socket.empty() || options_.watchdog.count() == 0) {
    return std::jthread();
  }
  const auto speak = [this](const std::stop_token& stop) {
    static_cast<void>(::pthread_setname_np(::pthread_self(), "watchdog")); // for humans only
    std::mutex mutex;
    std::condition_variable_any stopped;
    std::unique_lock lock(mutex);
    while (!stop.stop_requested()) {
      tell("WATCHDOG=1");
      stopped.wait_for(
          lock, stop, std::max(options_.watchdog / 2, kWatchdogStepMin), [] { return false; });
    }
  };
  try {
    return std::jthread(speak);
  } catch (const std::system_error&) {
    return fail(Errc::io, "cannot start a thread for the watchdog");
  }
}

void Notifier::tell(std::string_view state) {
  if (options_.socket.empty()) {
    return;
  }
  if (const auto sent = send(state); !sent) {
    log_.warn("the service manager could not be told",
              {{"state", state.substr(0, state.find('\n'))}, {"reason", sent.error().message}});
  }
}

Result<void> Notifier::send(std::string_view state) const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& name = options_.socket;
  const bool abstract = name.starts_with('@');
  if ((!abstract && !name.starts_with('/')) || name.size() >= sizeof(address.sun_path)) {
    return fail(Errc::invalid_argument, "NOTIFY_SOCKET is neither a path nor an abstract name");
  }
  name.copy(static_cast<char*>(address.sun_path), name.size());
  if (abstract) {
    address.sun_path[0] = '\0';
  }
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) {
    return fail_errno(errno, "socket");
  }
  const timeval patience{.tv_sec = kSendSeconds, .tv_usec = 0};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) != 0) {
    return fail_errno(errno, "setsockopt");
  }
  // An abstract name ends with its length, a path with its zero.
  const std::size_t size =
      offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? std::size_t{0} : std::size_t{1});
  const ssize_t sent = ::sendto(socket.get(),
                                state.data(),
                                state.size(),
                                MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address),
                                static_cast<socklen_t>(size));
  return sent < 0 ? Result<void>(fail_errno(errno, "send")) : Result<void>{};
}

} // namespace pkc::app
