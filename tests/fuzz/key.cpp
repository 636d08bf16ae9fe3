// Fuzz target: keys of clients.
#include "pkc/store/key.hpp"

#include "fuzz.hpp"

#include <algorithm>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = pkc::fuzz::text_of(data, size);

  const auto key = pkc::store::Key::parse_hex(input);

  const bool is_key = size >= 32 && size <= 128 && std::ranges::all_of(input, [](char c) {
                        return std::string_view("0123456789abcdefABCDEF").contains(c);
                      });
  pkc::fuzz::require(key.has_value() == is_key);
  pkc::fuzz::require(!key || key->id() == input);
  return 0;
}
