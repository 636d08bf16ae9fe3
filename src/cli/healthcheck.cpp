#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/app/health_check.hpp"

#include <signal.h>

#include <string>

namespace pkc::cli {

int run_healthcheck(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  ::signal(SIGPIPE, SIG_IGN); // a server that goes away is an answer, not the end of us
  const auto health = app::check_health(loaded->settings);
  if (health) {
    return print("healthy: " + *health + "\n");
  }
  if (health.error().code == Errc::invalid_argument) {
    return print_problems({health.error().message});
  }
  print("unhealthy: " + health.error().message + "\n");
  return kExitFailed;
}

} // namespace pkc::cli
