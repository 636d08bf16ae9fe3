#include "request_id.hpp"

#include "text.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/random.hpp"

#include <span>

namespace pkc::http {

namespace {

constexpr std::size_t kIdSizeMax = 128;
constexpr CharSet kIdChars =
    CharSet("._-").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');

/// The finalizer of SplitMix64: every bit of the input moves half of the output's.
constexpr std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31U);
}

/// The last digits of `value`.
void write_hex(std::span<char> digits, std::uint64_t value) {
  constexpr std::string_view kHexDigits = "0123456789abcdef";
  for (std::size_t i = digits.size(); i-- > 0; value >>= 4U) {
    digits[i] = kHexDigits[value & 0xfU];
  }
}

} // namespace

bool is_request_id(std::string_view text) {
  return !text.empty() && text.size() <= kIdSizeMax && kIdChars.has_all(text);
}

RequestIds::RequestIds() {
  if (!fill_random(std::as_writable_bytes(std::span(state_)))) {
    // Ids that repeat after a restart are better than a server that does not start.
    state_.front() =
        static_cast<std::uint64_t>(system_clock().steady_now().time_since_epoch().count());
  }
}

std::string_view RequestIds::next() {
  constexpr std::size_t kFirst = 16;
  const std::uint64_t step = ++state_.back();
  const std::uint64_t first = mix(state_.front() + step * 0x9e3779b97f4a7c15U);
  write_hex(std::span(text_).first<kFirst>(), first);
  write_hex(std::span(text_).subspan<kFirst>(), mix(first ^ step));
  return {text_.data(), text_.size()};
}

} // namespace pkc::http
