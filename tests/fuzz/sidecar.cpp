// Fuzz target: sidecars, which another program may have written or a crash may have torn.
#include "pkc/store/sidecar.hpp"

#include "fuzz.hpp"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto parsed = pkc::store::parse_sidecar(pkc::fuzz::text_of(data, size));
  if (!parsed) {
    pkc::fuzz::require(parsed.error().code == pkc::Errc::corrupt);
    return 0;
  }

  const std::string text = pkc::store::format_sidecar(*parsed);
  const auto again = pkc::store::parse_sidecar(text);

  pkc::fuzz::require(!text.contains('\n'));
  pkc::fuzz::require(again.has_value());
  pkc::fuzz::require(again->hash == parsed->hash && again->size == parsed->size);
  pkc::fuzz::require(again->created_at == parsed->created_at && again->key == parsed->key);
  pkc::fuzz::require(again->stored_at == parsed->stored_at);
  pkc::fuzz::require(again->content.has_value() == parsed->content.has_value());
  if (parsed->content) {
    pkc::fuzz::require(again->content->hash == parsed->content->hash);
    pkc::fuzz::require(again->content->size == parsed->content->size);
    pkc::fuzz::require(again->content->type == parsed->content->type);
  }
  return 0;
}
