// Fuzz target: the query of an admin request.
#include "admin/query.hpp"
#include "fuzz.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

using pkc::fuzz::require;
using pkc::protocols::admin::Query;

namespace {

std::string encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    encoded.append(1, '%').append(1, kHex[byte >> 4U]).append(1, kHex[byte & 0xFU]);
  }
  return encoded;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = pkc::fuzz::text_of(data, size);

  // Whatever is encoded comes back.
  auto own = Query::parse("prefix=" + encode(input));
  require(own.has_value());
  require(own->take_text("prefix").value_or("") == input);
  require(own->finish().has_value());

  auto query = Query::parse(input);
  if (!query) {
    require(query.error().code == pkc::Errc::invalid_argument);
    return 0;
  }
  const auto limit = query->take_number("limit", 1, 1000);
  require(!limit || !*limit || (**limit >= 1 && **limit <= 1000));
  const auto age = query->take_duration("older_than");
  require(!age || !*age || (*age)->count() >= 0);
  const auto most = query->take_size("max_size");
  require(most || most.error().message.starts_with("max_size: "));
  for (const std::string_view name : {"limit", "older_than", "max_size"}) {
    require(!query->take_text(name)); // taken, right or wrong
  }
  return 0;
}
