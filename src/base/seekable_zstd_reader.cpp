#include "seekable_format.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/seekable_zstd.hpp"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>

namespace pkc {

namespace {

using zstd::kBlockHeaderSize;
using zstd::kBlockSizeMax;
using zstd::kRawFrameHeader;
using zstd::read_number;

/// What is read of the end of a file at first: the table of up to 125 MiB of content.
constexpr std::size_t kTailSize = 1 * kKiB;
/// Our frames need no larger window than their content.
constexpr int kWindowLogMax = 20;
static_assert(kSeekableFrameSize == ByteCount{1} << kWindowLogMax);
/// Of a frame in more pieces than this, nobody looks for the right one.
constexpr std::size_t kBlocksMax = 64;

/// The end of a file, whose length is known and whose bytes are not.
struct Footer {
  std::size_t frames = 0;
  std::size_t entry_size = 0;

  [[nodiscard]] std::size_t table_size() const {
    return zstd::kSkippableHeaderSize + frames * entry_size + zstd::kSeekFooterSize;
  }
};

std::unexpected<Error> bad_table(const char* why) {
  return fail(Errc::corrupt, std::string("seek table: ") + why);
}

Result<Footer> parse_footer(ByteSpan tail) {
  if (tail.size() < zstd::kSkippableHeaderSize + zstd::kSeekFooterSize) {
    return bad_table("the file is too short");
  }
  const ByteSpan footer = tail.last(zstd::kSeekFooterSize);
  if (read_number(footer.subspan(5)) != zstd::kSeekableMagic) {
    return bad_table("there is none");
  }
  const std::uint64_t frames = read_number(footer.first(4));
  const auto descriptor = std::to_integer<unsigned>(footer[4]);
  if (frames == 0 || frames > kSeekableFramesMax) {
    return bad_table("no such number of frames");
  }
  if ((descriptor & zstd::kSeekReservedBits) != 0) {
    return bad_table("of a later version");
  }
  const bool checksums = (descriptor & zstd::kSeekChecksumFlag) != 0;
  return Footer{.frames = frames,
                .entry_size = zstd::kSeekEntrySize + (checksums ? zstd::kSeekChecksumSize : 0)};
}

/// Some bytes of a file, in order.
class FileRange final : public ByteSource {
 public:
  FileRange(std::shared_ptr<File> file, ByteCount begin, ByteCount end)
      : file_(std::move(file)), at_(begin), end_(end) {}

  Result<std::size_t> read(MutableByteSpan buffer) override {
    const auto wanted = static_cast<std::size_t>(std::min<ByteCount>(buffer.size(), end_ - at_));
    if (wanted == 0) {
      return 0;
    }
    TRY_ASSIGN(const std::size_t count, file_->read_at(at_, buffer.first(wanted)));
    at_ += count;
    return count;
  }

 private:
  std::shared_ptr<File> file_;
  ByteCount at_;
  ByteCount end_;
};

/// What a decoding source gives of what it decodes.
struct Extent {
  ByteCount skip = 0;   ///< at the beginning
  ByteCount length = 0; ///< after that
  bool to_end = false;  ///< that is all, and the source is read to its end
};

} // namespace

Result<SeekTable> SeekTable::parse(ByteSpan tail, ByteCount stored_size) {
  TRY_ASSIGN(const Footer footer, parse_footer(tail));
  if (footer.table_size() > tail.size() || footer.table_size() > stored_size) {
    return bad_table("it is larger than the file");
  }
  const ByteSpan table = tail.last(footer.table_size());
  if (read_number(table.first(4)) != zstd::kSeekTableMagic ||
      read_number(table.subspan(4, 4)) != table.size() - zstd::kSkippableHeaderSize) {
    return bad_table("it is no frame of its own");
  }
  std::vector<Frame> frames;
  frames.reserve(footer.frames + 1);
  Frame next;
  ByteSpan entries = table.subspan(zstd::kSkippableHeaderSize);
  for (std::size_t i = 0; i < footer.frames; ++i) {
    frames.push_back(next);
    const std::uint64_t content = read_number(entries.subspan(4, 4));
    if (content > kSeekableFrameSize) {
      return bad_table("a frame is too large");
    }
    next.stored_begin += read_number(entries.first(4));
    next.content_begin += content;
    entries = entries.subspan(footer.entry_size);
  }
  frames.push_back(next);
  if (next.stored_begin != stored_size - table.size()) {
    return bad_table("its frames are not all of the file");
  }
  return SeekTable(std::move(frames));
}

Result<SeekTable> SeekTable::read(File& file, ByteCount stored_size) {
  const auto read_tail = [&](std::size_t size) -> Result<std::vector<std::byte>> {
    std::vector<std::byte> tail(size);
    TRY_ASSIGN(const std::size_t count, file.read_at(stored_size - size, tail));
    if (count < size) {
      return bad_table("the file ends early");
    }
    return tail;
  };
  TRY_ASSIGN(auto tail, read_tail(std::min<ByteCount>(stored_size, kTailSize)));
  TRY_ASSIGN(const Footer footer, parse_footer(tail));
  if (footer.table_size() > stored_size) {
    return bad_table("it is larger than the file");
  }
  if (footer.table_size() > tail.size()) {
    TRY_ASSIGN(tail, read_tail(footer.table_size()));
  }
  return parse(tail, stored_size);
}

const SeekTable::Frame* SeekTable::frame_at(ByteCount offset) const {
  PKC_ASSERT(offset < content_size());
  const auto behind = std::ranges::upper_bound(frames_, offset, {}, &Frame::content_begin);
  return &*std::prev(behind);
}

/// Decodes as it is read. One thread at a time.
class ZstdDecodingSource final : public ByteSource {
 public:
  ZstdDecodingSource(std::unique_ptr<ByteSource> stored,
                     const Extent& extent,
                     ZstdContextPool& pool)
      : stored_(std::move(stored)), extent_(extent), pool_(pool) {}
  ZstdDecodingSource(const ZstdDecodingSource&) = delete;
  ZstdDecodingSource& operator=(const ZstdDecodingSource&) = delete;
  ZstdDecodingSource(ZstdDecodingSource&&) = delete;
  ZstdDecodingSource& operator=(ZstdDecodingSource&&) = delete;
  ~ZstdDecodingSource() override { let_go(); }

  Result<std::size_t> read(MutableByteSpan buffer) override;

 private:
  Result<std::size_t> read_content(MutableByteSpan buffer);
  Result<std::size_t> decode(MutableByteSpan buffer);
  Result<bool> fill(std::size_t wanted);
  Result<bool> begin_frame();
  Result<void> read_to_end();
  void let_go();

  [[nodiscard]] ByteSpan input() const {
    return {context_.output.get() + input_begin_, input_end_ - input_begin_};
  }

  std::unique_ptr<ByteSource> stored_;
  Extent extent_;
  ZstdContextPool& pool_;
  ZstdContextPool::Context context_; ///< its buffer is for what comes in
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  bool in_frame_ = false;
  bool ended_ = false;
  bool source_failed_ = false;
};

void ZstdDecodingSource::let_go() {
  if (context_.handle) {
    pool_.release(std::exchange(context_, {}));
  }
}

Result<std::size_t> ZstdDecodingSource::read(MutableByteSpan buffer) {
  if (ended_) {
    return 0;
  }
  if (!context_.handle) {
    TRY_ASSIGN(context_, pool_.acquire(kWindowLogMax));
  }
  auto count = read_content(buffer);
  if (!count && count.error().code == Errc::corrupt && extent_.to_end && !source_failed_) {
    // Whoever gives the stored bytes may know better what is wrong with them, at their end.
    while (true) {
      TRY_ASSIGN(const std::size_t rest,
                 stored_->read({context_.output.get(), ZstdContextPool::kBufferSize}));
      if (rest == 0) {
        break;
      }
    }
  }
  ended_ = !count || extent_.length == 0;
  if (ended_) {
    let_go(); // others can use it while the last piece is on its way
  }
  return count;
}

Result<std::size_t> ZstdDecodingSource::read_content(MutableByteSpan buffer) {
  while (extent_.skip > 0) {
    TRY_ASSIGN(const std::size_t count,
               decode(buffer.first(std::min<ByteCount>(buffer.size(), extent_.skip))));
    if (count == 0) {
      return fail(Errc::corrupt, "stored content ends early");
    }
    extent_.skip -= count;
  }
  const MutableByteSpan wanted = buffer.first(std::min<ByteCount>(buffer.size(), extent_.length));
  TRY_ASSIGN(const std::size_t count, wanted.empty() ? Result<std::size_t>(0) : decode(wanted));
  if (count == 0 && !wanted.empty()) {
    return fail(Errc::corrupt, "stored content ends early");
  }
  extent_.length -= count;
  if (extent_.length == 0 && extent_.to_end) {
    TRY(read_to_end());
  }
  return count;
}

/// Nothing more may be decoded.
Result<void> ZstdDecodingSource::read_to_end() {
  std::array<std::byte, 1> surplus{};
  TRY_ASSIGN(const std::size_t count, decode(surplus));
  if (count > 0) {
    return fail(Errc::corrupt, "stored content is longer than it should be");
  }
  return {};
}

/// Gives some bytes of content; 0 at the end of what is stored.
Result<std::size_t> ZstdDecodingSource::decode(MutableByteSpan buffer) {
  while (true) {
    if (!in_frame_) {
      TRY_ASSIGN(in_frame_, begin_frame());
      if (!in_frame_) {
        return 0;
      }
    }
    ZSTD_inBuffer in{.src = input().data(), .size = input().size(), .pos = 0};
    ZSTD_outBuffer out{.dst = buffer.data(), .size = buffer.size(), .pos = 0};
    const std::size_t code = ZSTD_decompressStream(context_.handle.get(), &out, &in);
    if (ZSTD_isError(code) != 0) {
      const bool no_memory = ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation;
      return fail(no_memory ? Errc::unavailable : Errc::corrupt,
                  std::string("stored content: ") + ZSTD_getErrorName(code));
    }
    input_begin_ += in.pos;
    in_frame_ = code != 0;
    if (out.pos > 0) {
      return out.pos;
    }
    if (in_frame_ && in.pos == in.size) {
      TRY_ASSIGN(const bool more, fill(1));
      if (!more) {
        return fail(Errc::corrupt, "stored content ends inside a frame");
      }
    }
  }
}

/// Gets at least `wanted` bytes of input; false at the end.
Result<bool> ZstdDecodingSource::fill(std::size_t wanted) {
  const ByteSpan rest = input();
  std::memmove(context_.output.get(), rest.data(), rest.size());
  input_begin_ = 0;
  input_end_ = rest.size();
  while (input_end_ < wanted) {
    const auto count = stored_->read(
        {context_.output.get() + input_end_, ZstdContextPool::kBufferSize - input_end_});
    source_failed_ = !count;
    if (!count) {
      return std::unexpected(count.error());
    }
    if (*count == 0) {
      return false;
    }
    input_end_ += *count;
  }
  return true;
}

/// False at the end. Only frames of today's format go to libzstd, which may know older ones, whose
/// memory it does not bound.
Result<bool> ZstdDecodingSource::begin_frame() {
  TRY_ASSIGN(const bool whole, input().size() >= zstd::kMagicSize ? true : fill(zstd::kMagicSize));
  if (!whole && input().empty()) {
    return false;
  }
  const auto magic = static_cast<std::uint32_t>(
      read_number(input().first(std::min(input().size(), zstd::kMagicSize))));
  const bool known =
      magic == zstd::kFrameMagic || (magic & zstd::kSkippableMask) == zstd::kSkippableMagic;
  if (!whole || !known) {
    return fail(Errc::corrupt, "stored content is not zstd");
  }
  return true;
}

std::unique_ptr<ByteSource> make_decoding_source(std::unique_ptr<ByteSource> stored,
                                                 ByteCount content_size,
                                                 ZstdContextPool& pool) {
  return std::make_unique<ZstdDecodingSource>(
      std::move(stored), Extent{.skip = 0, .length = content_size, .to_end = true}, pool);
}

Result<SeekableZstdFile> SeekableZstdFile::open(std::shared_ptr<File> file, ByteCount stored_size) {
  TRY_ASSIGN(auto table, SeekTable::read(*file, stored_size));
  return SeekableZstdFile(std::move(file), std::make_shared<const SeekTable>(std::move(table)));
}

std::unique_ptr<ByteSource> SeekableZstdFile::content(ByteCount offset,
                                                      ByteCount length,
                                                      ZstdContextPool& pool) const {
  PKC_ASSERT(offset <= content_size());
  PKC_ASSERT(length <= content_size() - offset);
  if (length == 0) {
    return std::make_unique<FileRange>(file_, 0, 0);
  }
  const SeekTable::Frame* const first = table_->frame_at(offset);
  const SeekTable::Frame* const last = table_->frame_at(offset + length - 1);
  return std::make_unique<ZstdDecodingSource>(
      std::make_unique<FileRange>(file_, first->stored_begin, std::next(last)->stored_begin),
      Extent{.skip = offset - first->content_begin, .length = length, .to_end = false},
      pool);
}

namespace {

/// Where in a frame a byte of content lies, when all blocks before it are raw.
struct Place {
  ByteCount content_begin = 0; ///< of the block
  ByteCount stored_begin = 0;  ///< of its bytes
  ByteCount length = 0;
};

/// Reads the header of a block. Nothing when it is not raw.
Result<std::optional<std::size_t>> read_block_size(File& file, ByteCount at) {
  std::array<std::byte, kBlockHeaderSize> bytes{};
  TRY_ASSIGN(const std::size_t count, file.read_at(at, bytes));
  if (count < bytes.size()) {
    return fail(Errc::corrupt, "stored content ends early");
  }
  const std::uint64_t header = read_number(bytes);
  const std::size_t size = header >> zstd::kBlockSizeShift;
  if ((header & zstd::kBlockTypeMask) != zstd::kRawBlock || size > kBlockSizeMax) {
    return std::nullopt;
  }
  return size;
}

/// REQUIRES: `offset` is in the frame.
Result<std::optional<Place>> find_raw(File& file, const SeekTable::Frame& frame, ByteCount offset) {
  const SeekTable::Frame& next = *std::next(&frame);
  std::array<std::byte, kRawFrameHeader.size()> header{};
  TRY_ASSIGN(const std::size_t count, file.read_at(frame.stored_begin, header));
  if (count < header.size() || header != kRawFrameHeader) {
    return std::nullopt;
  }
  Place place{.content_begin = frame.content_begin,
              .stored_begin = frame.stored_begin + kRawFrameHeader.size() + kBlockHeaderSize};
  if (next.content_begin - frame.content_begin == zstd::kRawFrameContent &&
      next.stored_begin - frame.stored_begin == kSeekableFrameSize) { // no block was ended early
    const ByteCount index = (offset - frame.content_begin) / zstd::kRawBlockContent;
    place.content_begin += index * zstd::kRawBlockContent;
    place.stored_begin += index * kBlockSizeMax;
  }
  for (std::size_t blocks = 0; blocks < kBlocksMax; ++blocks) {
    TRY_ASSIGN(const auto size, read_block_size(file, place.stored_begin - kBlockHeaderSize));
    if (!size || place.content_begin + *size > next.content_begin ||
        place.stored_begin + *size > next.stored_begin) {
      return std::nullopt;
    }
    if (offset < place.content_begin + *size) {
      place.length = *size;
      return place;
    }
    place.content_begin += *size;
    place.stored_begin += *size + kBlockHeaderSize;
  }
  return std::nullopt;
}

} // namespace

Result<std::optional<FilePiece>> SeekableZstdFile::raw_piece(ByteCount offset) const {
  TRY_ASSIGN(const auto place, find_raw(*file_, *table_->frame_at(offset), offset));
  if (!place) {
    return std::nullopt;
  }
  const ByteCount skipped = offset - place->content_begin;
  return FilePiece{.file = file_,
                   .file_offset = place->stored_begin + skipped,
                   .length = place->length - skipped};
}

Result<std::optional<std::vector<RawRun>>> SeekableZstdFile::raw_runs(std::size_t runs_max) const {
  std::vector<RawRun> runs;
  for (ByteCount offset = 0; offset < content_size();) {
    TRY_ASSIGN(const auto piece, raw_piece(offset));
    if (!piece || runs.size() == runs_max) {
      return std::nullopt;
    }
    runs.push_back({.content_begin = offset, .file_begin = piece->file_offset});
    offset += piece->length;
  }
  return runs;
}

Result<bool> SeekableZstdFile::is_raw(ByteCount offset, ByteCount length) const {
  const ByteCount end = offset + length;
  PKC_ASSERT(length > 0);
  PKC_ASSERT(end <= content_size());
  while (offset < end) {
    const SeekTable::Frame& frame = *table_->frame_at(offset);
    const ByteCount frame_end = std::next(&frame)->content_begin;
    // The way to its last byte leads over all blocks of a frame.
    TRY_ASSIGN(const auto place, find_raw(*file_, frame, frame_end - 1));
    if (!place) {
      return false;
    }
    offset = frame_end;
  }
  return true;
}

} // namespace pkc
