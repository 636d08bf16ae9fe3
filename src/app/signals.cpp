#include "signals.hpp"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace pkc::app {

Result<Signals> Signals::make() {
  sigset_t wanted{};
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  if (const int error_number = pthread_sigmask(SIG_BLOCK, &wanted, nullptr); error_number != 0) {
    return fail_errno(error_number, "pthread_sigmask");
  }
  UniqueFd fd(::signalfd(-1, &wanted, SFD_CLOEXEC));
  if (!fd) {
    return fail_errno(errno, "signalfd");
  }
  return Signals(std::move(fd));
}

Result<int> Signals::wait(int event_fd) {
  // poll() skips a negative descriptor.
  std::array<pollfd, 2> watched = {{{.fd = fd_.get(), .events = POLLIN, .revents = 0},
                                    {.fd = event_fd, .events = POLLIN, .revents = 0}}};
  while (::poll(watched.data(), watched.size(), -1) < 0) {
    if (const int error_number = errno; error_number != EINTR) {
      return fail_errno(error_number, "poll");
    }
  }
  if ((watched[0].revents & POLLIN) == 0) {
    return 0;
  }
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) {
    return fail_errno(errno, "read signal");
  }
  return static_cast<int>(info.ssi_signo);
}

} // namespace pkc::app
