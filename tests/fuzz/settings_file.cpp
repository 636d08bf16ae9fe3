// Fuzz target: a settings file of any format. The first byte chooses the format, the rest is the
// file.
#include "pkc/config/settings.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

// NOLINTNEXTLINE(readability-identifier-naming): the name that libFuzzer calls.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  constexpr std::array<std::string_view, 3> kPaths = {"s.yaml", "s.toml", "s.json"};
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const pkc::config::Sources sources{
      .flags = {},
      .environment = {},
      .file = pkc::config::ConfigFile{.path = std::string(kPaths[data[0] % kPaths.size()]),
                                      .text = std::string(input.substr(1))}};

  const auto loaded = pkc::config::load_settings(sources);

  // Problems are for a terminal: present, bounded in number and length, without control bytes.
  if (!loaded) {
    if (loaded.error().empty() || loaded.error().size() > 101) {
      std::abort();
    }
    for (const std::string& problem : loaded.error()) {
      if (problem.size() > 500 || problem.find('\x1b') != std::string::npos) {
        std::abort();
      }
    }
  } else if (loaded->settings.workers_min > loaded->settings.workers_max) {
    std::abort();
  }
  return 0;
}
