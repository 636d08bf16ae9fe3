// Fuzz target: chunked bodies, in pieces of any size. The first byte gives the size.
#include "chunked.hpp"

#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace {

struct Outcome {
  std::string body;
  std::size_t consumed = 0;
  bool done = false;
};

std::optional<Outcome> decode(std::string_view input, std::size_t step) {
  pkc::http::ChunkedDecoder decoder;
  Outcome outcome;
  std::array<std::byte, 64> buffer{};
  while (!decoder.done() && outcome.consumed < input.size()) {
    const std::string_view piece = input.substr(outcome.consumed, step);
    const auto progress =
        decoder.decode(piece, pkc::MutableByteSpan(buffer).first(std::min(step, buffer.size())));
    if (!progress) {
      return std::nullopt;
    }
    pkc::fuzz::require(progress->consumed <= piece.size());
    pkc::fuzz::require(progress->produced <= progress->consumed);
    pkc::fuzz::require(progress->consumed > 0 || progress->produced > 0);
    outcome.consumed += progress->consumed;
    outcome.body += pkc::as_text(pkc::ByteSpan(buffer).first(progress->produced));
  }
  outcome.done = decoder.done();
  return outcome;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  const std::size_t step = 1 + pkc::fuzz::take_byte(input) % 32;

  const auto pieces = decode(input, step);
  const auto whole = decode(input, input.size() + 1);

  pkc::fuzz::require(pieces.has_value() == whole.has_value());
  if (whole) {
    pkc::fuzz::require(pieces->body == whole->body && pieces->done == whole->done);
    pkc::fuzz::require(pieces->consumed == whole->consumed);
    pkc::fuzz::require(whole->body.size() <= whole->consumed);
  }
  return 0;
}
