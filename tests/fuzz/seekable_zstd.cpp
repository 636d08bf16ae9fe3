// Fuzz target: seekable zstd files, whose bytes may have rotted before anybody verified them.
#include "pkc/base/seekable_zstd.hpp"

#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

namespace {

using pkc::ByteCount;
using pkc::fuzz::require;

class MemoryFile final : public pkc::File {
 public:
  explicit MemoryFile(std::string_view bytes) : bytes_(bytes) {}
  pkc::Result<std::size_t> read_at(ByteCount offset, pkc::MutableByteSpan buffer) override {
    const std::size_t begin = std::min<ByteCount>(offset, bytes_.size());
    const std::size_t count = std::min(bytes_.size() - begin, buffer.size());
    std::ranges::copy(pkc::as_bytes(bytes_.substr(begin, count)), buffer.begin());
    return count;
  }
  pkc::Result<void> write(pkc::ByteSpan /*bytes*/) override { return {}; }
  void begin_sync() override {}
  pkc::Result<void> sync() override { return {}; }
  [[nodiscard]] pkc::FileStat opened_stat() const override { return {}; }
  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  std::string_view bytes_;
};

/// Reads to the end; how much came.
ByteCount drain(pkc::ByteSource& source, bool& failed) {
  std::array<std::byte, 10'000> buffer{};
  ByteCount size = 0;
  while (true) {
    const auto count = source.read(buffer);
    failed = !count;
    if (failed || *count == 0) {
      require(!failed || count.error().code == pkc::Errc::corrupt);
      return size;
    }
    size += *count;
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr ByteCount kContentMax = 2 * pkc::kMiB;
  static pkc::ZstdContextPool pool;
  const auto file = std::make_shared<MemoryFile>(pkc::fuzz::text_of(data, size));
  const auto opened = pkc::SeekableZstdFile::open(file, size);
  if (!opened) {
    require(opened.error().code == pkc::Errc::corrupt);
    return 0;
  }
  const ByteCount content = opened->content_size();
  for (const ByteCount offset : {ByteCount{0}, content / 2, content - 1}) {
    if (offset >= content) {
      continue;
    }
    const auto piece = opened->raw_piece(offset);
    if (piece && *piece) {
      require((*piece)->length > 0 && (*piece)->length <= content - offset);
      require((*piece)->file_offset + (*piece)->length <= size);
    }
    const ByteCount length = std::min(content - offset, kContentMax);
    bool failed = false;
    const ByteCount got = drain(*opened->content(offset, length, pool), failed);
    require(failed ? got <= length : got == length);
  }
  return 0;
}
