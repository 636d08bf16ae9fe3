#include "environment.hpp"

#include <cstdlib>

namespace pkc::app {

std::optional<std::string> take_variable(const char* name) {
  const char* const value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): no other thread yet
  if (value == nullptr) {
    return std::nullopt;
  }
  std::string text(value);
  ::unsetenv(name); // NOLINT(concurrency-mt-unsafe): no other thread yet
  return text;
}

} // namespace pkc::app
