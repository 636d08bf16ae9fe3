// Makes mutated tar headers pass their checksum, so that fuzzing gets behind it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace pkc::fuzz {

/// Rewrites the checksum of every block that carries a tar magic.
inline std::string with_valid_checksums(std::string_view input) {
  constexpr std::size_t kBlockSize = 512;
  std::string tar(input);
  for (std::size_t at = 0; at + kBlockSize <= tar.size(); at += kBlockSize) {
    if (tar.compare(at + 257, 5, "ustar") == 0) {
      tar.replace(at + 148, 8, 8, ' ');
      unsigned sum = 0;
      for (std::size_t i = at; i < at + kBlockSize; ++i) {
        sum += static_cast<unsigned char>(tar[i]);
      }
      for (std::size_t digit = 0; digit < 7; ++digit) {
        tar[at + 148 + digit] =
            static_cast<char>('0' + static_cast<int>(sum >> (18 - 3 * digit) & 7U));
      }
      tar[at + 155] = '\0';
    }
  }
  return tar;
}

} // namespace pkc::fuzz
