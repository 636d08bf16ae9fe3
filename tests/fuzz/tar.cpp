// Fuzz target: tar archives. Odd first byte: checksums are made right first; the rest of it gives
// the size of the pieces.
#include "fuzz.hpp"
#include "polykit/tar_reader.hpp"
#include "tar_checksum.hpp"

#include <algorithm>
#include <string>

namespace {

using pkc::protocols::polykit::TarEntry;

/// Writes down what it is told, and checks that the calls come in order.
class Recorder : public pkc::protocols::polykit::TarVisitor {
 public:
  pkc::Result<void> begin_entry(const TarEntry& entry) override {
    pkc::fuzz::require(!inside_ && !entry.path.contains('\0') && !entry.link_target.contains('\0'));
    inside_ = true;
    left_ = entry.size;
    log +=
        "begin " + entry.path + " " + entry.link_target + " " + std::to_string(entry.size) + "\n";
    return {};
  }
  pkc::Result<void> entry_data(pkc::ByteSpan bytes) override {
    pkc::fuzz::require(inside_ && !bytes.empty() && bytes.size() <= left_);
    left_ -= bytes.size();
    content += bytes.size();
    log += pkc::as_text(bytes);
    return {};
  }
  pkc::Result<void> end_entry() override {
    pkc::fuzz::require(inside_ && left_ == 0);
    inside_ = false;
    log += "end\n";
    return {};
  }
  std::string log;
  std::size_t content = 0;

 private:
  bool inside_ = false;
  pkc::ByteCount left_ = 0;
};

/// The log of a walk in pieces, with its outcome.
std::string walk(std::string_view tar, std::size_t step) {
  Recorder recorder;
  pkc::protocols::polykit::TarReader reader(recorder);
  pkc::Result<void> result;
  for (std::size_t at = 0; at < tar.size() && result; at += step) {
    result = reader.write(pkc::as_bytes(tar.substr(at, step)));
  }
  if (result) {
    result = reader.finish();
  }
  pkc::fuzz::require(recorder.content <= tar.size());
  return recorder.log + (result ? "accepted" : result.error().message);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  const unsigned mode = pkc::fuzz::take_byte(input);
  const std::string tar =
      mode % 2 == 1 ? pkc::fuzz::with_valid_checksums(input) : std::string(input);

  pkc::fuzz::require(walk(tar, 1 + mode) == walk(tar, tar.size() + 1));
  return 0;
}
