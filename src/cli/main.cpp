// polykit-cache: the one executable.
#include "commands.hpp"

#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  std::vector<pkc::config::Assignment> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals != std::string_view::npos) {
      environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return pkc::cli::run(words, std::move(environment));
}
