// Fuzz target: whole artifacts. The first byte says whether the rest is a body, or a tar that is
// put into a frame first (with its checksums made right), and in which pieces it comes.
#include "fuzz.hpp"
#include "polykit/artifact_verifier.hpp"
#include "tar_checksum.hpp"

#include <algorithm>
#include <string>

namespace {

using namespace std::string_view_literals;
using pkc::protocols::polykit::ArtifactVerifier;
using pkc::protocols::polykit::TarEntry;
using pkc::protocols::polykit::TarEntryType;

constexpr std::string_view kKey = "aabbccddeeff00112233445566778899";

/// A frame of raw blocks.
std::string framed(std::string_view content) {
  constexpr std::size_t kBlockSizeMax = 65536;
  std::string frame("\x28\xB5\x2F\xFD\x00\x58"sv);
  bool last = false;
  while (!last) {
    const std::string_view block = content.substr(0, kBlockSizeMax);
    content.remove_prefix(block.size());
    last = content.empty();
    const std::size_t header = block.size() << 3U | (last ? 1U : 0U);
    for (unsigned shift = 0; shift < 24; shift += 8) {
      frame += static_cast<char>(header >> shift & 0xFFU);
    }
    frame += block;
  }
  return frame;
}

/// The size of the outputs; every one of them has to be harmless.
class Outputs : public pkc::protocols::polykit::TarVisitor {
 public:
  pkc::Result<void> begin_entry(const TarEntry& entry) override {
    if (entry.path.starts_with("outputs/")) {
      pkc::fuzz::require(entry.type == TarEntryType::regular);
      pkc::fuzz::require(!("/" + entry.path + "/").contains("/../"));
    }
    return {};
  }
  pkc::Result<void> entry_data(pkc::ByteSpan /*bytes*/) override { return {}; }
  pkc::Result<void> end_entry() override { return {}; }
};

/// "accepted", or why not. The limits are small, so that no input takes long.
std::string verify(std::string_view body, std::size_t step) {
  pkc::ZstdContextPool pool({.window_budget = 4 * pkc::kMiB});
  ArtifactVerifier verifier(kKey,
                            pool,
                            {.files_max = 20,
                             .decode = {.decoded_size_max = 4 * pkc::kMiB,
                                        .ratio_max = 100,
                                        .ratio_free_size = 256 * pkc::kKiB}});
  pkc::Result<void> result;
  for (std::size_t at = 0; at < body.size() && result; at += step) {
    result = verifier.write(pkc::as_bytes(body.substr(at, step)));
  }
  if (!result) {
    return result.error().message;
  }
  const auto facts = verifier.finish();
  return facts ? "accepted" : facts.error().message;
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  const unsigned mode = pkc::fuzz::take_byte(input);
  const bool is_tar = mode % 2 == 1;
  const std::string tar = is_tar ? pkc::fuzz::with_valid_checksums(input) : std::string();
  const std::string body = is_tar ? framed(tar) : std::string(input);

  const std::string outcome = verify(body, body.size() + 1);

  pkc::fuzz::require(outcome.size() < 1000);
  const bool accepted_in_pieces = verify(body, 1 + mode) == "accepted";
  pkc::fuzz::require(accepted_in_pieces == (outcome == "accepted"));
  if (is_tar && accepted_in_pieces) {
    Outputs outputs;
    pkc::protocols::polykit::TarReader reader(outputs);
    pkc::fuzz::require(reader.write(pkc::as_bytes(tar)).has_value());
  }
  return 0;
}
