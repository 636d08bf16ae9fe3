#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/app/application.hpp"

namespace pkc::cli {

int run_serve(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  return loaded ? app::run_server(loaded->settings) : kExitUsage;
}

} // namespace pkc::cli
