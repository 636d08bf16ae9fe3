// Fuzz target: what tokens have used of their quotas, which a crash may have torn.
#include "fuzz.hpp"
#include "quota_file.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = pkc::app::parse_quota_uses(pkc::fuzz::text_of(data, size));
  if (!parsed) {
    pkc::fuzz::require(parsed.error().code == pkc::Errc::corrupt);
    return 0;
  }

  const std::string text = pkc::app::format_quota_uses(*parsed);

  pkc::fuzz::require(pkc::app::parse_quota_uses(text) == *parsed);
  return 0;
}
