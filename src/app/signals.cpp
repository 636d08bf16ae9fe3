#include "signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

namespace pkc::app {

Result<Signals> Signals::make() {
  sigset_t wanted{};
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGHUP);
  sigaddset(&wanted, SIGUSR2);
  if (const int error_number = pthread_sigmask(SIG_BLOCK, &wanted, nullptr); error_number != 0) {
    return fail_errno(error_number, "pthread_sigmask");
  }
  UniqueFd fd(::signalfd(-1, &wanted, SFD_CLOEXEC));
  if (!fd) {
    return fail_errno(errno, "signalfd");
  }
  return Signals(std::move(fd));
}

Result<Wakeup> Signals::wait(std::initializer_list<int> descriptors,
                             std::optional<std::chrono::milliseconds> timeout) {
  constexpr std::chrono::milliseconds kLongest{std::numeric_limits<int>::max()};
  const int limit =
      timeout
          ? static_cast<int>(std::clamp(*timeout, std::chrono::milliseconds{0}, kLongest).count())
          : -1;
  std::vector<pollfd> watched{{.fd = fd_.get(), .events = POLLIN, .revents = 0}};
  for (const int fd : descriptors) {
    watched.push_back({.fd = fd, .events = POLLIN, .revents = 0}); // poll() skips a negative one
  }
  while (::poll(watched.data(), watched.size(), limit) < 0) {
    if (const int error_number = errno; error_number != EINTR) {
      return fail_errno(error_number, "poll");
    }
  }
  if (watched.front().revents == 0) {
    const auto ready =
        std::ranges::find_if(watched, [](const pollfd& w) { return w.revents != 0; });
    return Wakeup{.signal = 0, .descriptor = ready == watched.end() ? -1 : ready->fd};
  }
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) {
    return fail_errno(errno, "read signal");
  }
  return Wakeup{.signal = static_cast<int>(info.ssi_signo), .descriptor = -1};
}

} // namespace pkc::app
