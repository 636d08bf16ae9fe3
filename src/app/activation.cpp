#include "activation.hpp"

#include "environment.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

namespace pkc::app {

namespace {

constexpr int kFirstPassed = 3; ///< by the protocol: those behind standard error

} // namespace

Result<UniqueFd> take_passed_socket() {
  const auto process = take_variable("LISTEN_PID");
  const auto count_text = take_variable("LISTEN_FDS");
  static_cast<void>(take_variable("LISTEN_FDNAMES")); // one socket needs no name
  if (!process || !count_text || parse_decimal<pid_t>(*process) != ::getpid()) {
    return UniqueFd(); // inherited from a parent that it was meant for, or nothing at all
  }
  const auto count = parse_decimal<unsigned>(*count_text);
  if (!count) {
    return fail(Errc::invalid_argument, "LISTEN_FDS=" + *count_text + " is no number");
  }
  if (*count == 0) {
    return UniqueFd();
  }
  if (*count > 1) {
    return fail(Errc::invalid_argument,
                "the service manager passed " + *count_text +
                    " sockets, but the server listens on one; leave one ListenStream= in its "
                    "socket unit");
  }
  if (::fcntl(kFirstPassed, F_SETFD, FD_CLOEXEC) != 0) {
    return fail_errno(errno, "the socket passed by the service manager");
  }
  return UniqueFd(kFirstPassed);
}

} // namespace pkc::app
