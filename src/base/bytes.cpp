#include "pkc/base/bytes.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <system_error>

namespace pkc {
namespace {

struct Unit {
  char letter;
  ByteCount bytes;
};

constexpr ByteCount kTiB = 1024 * kGiB;
// Largest first: formatting takes the first one that divides.
constexpr std::array kUnits = {Unit{'T', kTiB}, Unit{'G', kGiB}, Unit{'M', kMiB}, Unit{'K', kKiB}};

/// The factor that a suffix stands for, or 0 for a suffix that is none.
ByteCount unit_factor(std::string_view suffix) {
  if (suffix.empty() || suffix == "B") {
    return 1;
  }
  for (const Unit& unit : kUnits) {
    if (suffix.front() == unit.letter) {
      const std::string_view rest = suffix.substr(1);
      return rest.empty() || rest == "i" || rest == "B" || rest == "iB" ? unit.bytes : 0;
    }
  }
  return 0;
}

} // namespace

Result<ByteCount> parse_byte_count(std::string_view text) {
  ByteCount number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) {
    return fail(Errc::invalid_argument, "the size is too large");
  }
  const ByteCount factor =
      error == std::errc{} ? unit_factor(text.substr(static_cast<std::size_t>(rest - text.data())))
                           : 0;
  if (factor == 0) {
    return fail(Errc::invalid_argument, "not a size; write bytes, or a unit as in 512KiB, 5GiB");
  }
  if (number > std::numeric_limits<ByteCount>::max() / factor) {
    return fail(Errc::invalid_argument, "the size is too large");
  }
  return number * factor;
}

std::string format_byte_count(ByteCount count) {
  for (const Unit& unit : kUnits) {
    if (count != 0 && count % unit.bytes == 0) {
      return std::to_string(count / unit.bytes) + unit.letter + "iB";
    }
  }
  return std::to_string(count);
}

} // namespace pkc
