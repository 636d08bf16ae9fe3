// Golden texts: files in the source tree that a test compares with what the program generates.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace pkc::test {

/// Whether the person at the keyboard asked for golden files to be rewritten.
inline bool accepts_golden() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no environment.
  const char* const value = std::getenv("PKC_ACCEPT");
  return value != nullptr && std::string(value) == "1";
}

/// The whole file; empty when there is none.
inline std::string read_golden(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void write_golden(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

} // namespace pkc::test
