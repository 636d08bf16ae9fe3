// What the fuzz targets share.
#pragma once

#include "pkc/base/bytes.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

/// Fuzzing engines call this with each input.
// NOLINTNEXTLINE(readability-identifier-naming): the name that they call.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace pkc::fuzz {

/// Ends the run when a claim about a parser does not hold. Not PKC_ASSERT: that belongs to the
/// program's own claims.
inline void require(bool claim) {
  if (!claim) {
    std::abort();
  }
}

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Takes the first byte of an input, for the choice of a mode; 0 when there is none.
inline unsigned take_byte(std::string_view& input) {
  if (input.empty()) {
    return 0;
  }
  const auto byte = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return byte;
}

} // namespace pkc::fuzz
