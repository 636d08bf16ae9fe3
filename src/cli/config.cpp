#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/config/auth_file.hpp"
#include "pkc/config/reference.hpp"

#include <string>

namespace pkc::cli {

int run_config_show(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  return print(invocation.arguments.has("json") ? config::show_json(*loaded)
                                                : config::show_text(*loaded));
}

int run_config_check(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  if (const std::string& path = loaded->settings.auth_file; !path.empty()) {
    if (const auto file = config::load_auth_file(path, posix_file_system()); !file) {
      return print_problems(file.error());
    }
  }
  return print("The settings are valid.\n");
}

int run_config_sample(const Invocation& /*invocation*/) {
  return print(config::sample_file());
}

int run_config_man(const Invocation& /*invocation*/) {
  return print(config::manual_page());
}

int run_config_table(const Invocation& /*invocation*/) {
  return print(config::readme_table());
}

} // namespace pkc::cli
