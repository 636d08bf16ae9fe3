#include "seekable_format.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/seekable_zstd.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <utility>

namespace pkc {

namespace {

using zstd::is_worth_it;
using zstd::kBlockHeaderSize;
using zstd::kBlockSizeMax;
using zstd::kRawFrameHeader;
using zstd::write_number;

/// So much of a frame is tried.
constexpr std::size_t kSampleSize = 64 * kKiB;
/// So much of a compressed frame is kept from the observer: it need not hear of every small write.
constexpr std::size_t kTellSize = 64 * kKiB;
/// Headers go in front of the content of a block, so that all is written with one call.
constexpr std::size_t kHeadSize =
    zstd::kSkippableHeaderSize + zstd::kPage + zstd::kRawFrameHeadSize;
constexpr std::size_t kFrameSize = kSeekableFrameSize;

/// Only shows whether there is something to gain, as fast as can be.
constexpr int kSampleLevel = 1;

} // namespace

SeekableZstdWriter::SeekableZstdWriter(ByteSink& target,
                                       ZstdEncoderPool& pool,
                                       SeekableZstdObserver* observer)
    : target_(target), pool_(pool), observer_(observer) {}

SeekableZstdWriter::~SeekableZstdWriter() {
  for (const auto& job : pending_) {
    pool_.drop(job);
  }
  if (context_.handle) {
    pool_.release(std::move(context_));
  }
}

Result<void> SeekableZstdWriter::write(ByteSpan bytes) {
  while (!bytes.empty()) {
    TRY_ASSIGN(const std::size_t used, take(bytes));
    bytes = bytes.subspan(used);
  }
  return {};
}

/// Takes as much as belongs to the current state; returns how much that was.
Result<std::size_t> SeekableZstdWriter::take(ByteSpan bytes) {
  // One entry may be padding.
  if (frame_content_ == 0 && entries_.size() + pending_.size() + 2 > kSeekableFramesMax) {
    return fail(Errc::too_large, "content has more than 1 TiB");
  }
  const ByteSpan rest = bytes.first(std::min(bytes.size(), kFrameSize - frame_content_));
  ByteSpan part = rest;
  if (frame_ != Frame::compressed) {
    const std::size_t room = (frame_ == Frame::raw ? block_room().content : kSampleSize) - held_;
    part = rest.first(std::min(rest.size(), room));
  }
  const auto taken = take_part(part);
  if (!taken) {
    return std::unexpected(taken.error());
  }
  return part.size();
}

Result<void> SeekableZstdWriter::take_part(ByteSpan bytes) {
  switch (frame_) {
    case Frame::undecided:
      hold(bytes);
      return held_ == kSampleSize ? decide() : Result<void>{};
    case Frame::raw:
      return take_raw(bytes);
    case Frame::compressed:
      return take_compressed(bytes);
  }
  std::unreachable();
}

Result<void> SeekableZstdWriter::take_raw(ByteSpan bytes) {
  const BlockRoom room = block_room();
  hold(bytes);
  const bool full = held_ == room.content;
  const bool last = frame_content_ == kFrameSize || (full && room.last);
  if (last || full) {
    TRY(write_block(last));
  }
  return last ? close_frame() : Result<void>{};
}

Result<void> SeekableZstdWriter::take_compressed(ByteSpan bytes) {
  std::memcpy(context_.content.get() + frame_content_, bytes.data(), bytes.size());
  frame_content_ += bytes.size();
  content_size_ += bytes.size();
  if (frame_content_ == kFrameSize) {
    return end_compressed();
  }
  return frame_content_ - told_ >= kTellSize ? tell_compressed() : Result<void>{};
}

void SeekableZstdWriter::hold(ByteSpan bytes) {
  if (!block_) {
    block_ = std::make_unique_for_overwrite<std::byte[]>(kHeadSize + kBlockSizeMax);
  }
  if (!bytes.empty()) { // nothing may be at no address
    // Not std::ranges::copy(), of which g++ 12 makes a loop over single bytes.
    std::memcpy(block_.get() + kHeadSize + held_, bytes.data(), bytes.size());
  }
  held_ += bytes.size();
  frame_content_ += bytes.size();
  content_size_ += bytes.size();
}

ByteSpan SeekableZstdWriter::held() const {
  return {block_.get() + kHeadSize, held_};
}

/// Chooses what the frame becomes, by what there is of it.
Result<void> SeekableZstdWriter::decide() {
  TRY_ASSIGN(auto context, pool_.acquire());
  const auto sample = ZstdEncoderPool::compress(context, held(), kSampleLevel);
  if (!sample || !is_worth_it(sample->size(), held_)) {
    pool_.release(std::move(context));
    if (!sample) {
      return std::unexpected(sample.error());
    }
    TRY(put_pending()); // its own blocks go to the target at once
    begin_raw();
    return {};
  }
  context_ = std::move(context);
  std::memcpy(context_.content.get(), held().data(), held_);
  held_ = 0;
  frame_ = Frame::compressed;
  return tell_compressed();
}

Result<void> SeekableZstdWriter::tell_compressed() {
  const std::size_t begin = std::exchange(told_, frame_content_);
  if (observer_ == nullptr || begin == frame_content_) {
    return {};
  }
  const ByteSpan content(context_.content.get() + begin, frame_content_ - begin);
  return observer_->on_compressed(content_size_ - content.size(), content);
}

/// Sees that the content of the frame will begin at a page.
void SeekableZstdWriter::begin_raw() {
  frame_ = Frame::raw;
  const std::size_t beyond = (stored_size_ + zstd::kRawFrameHeadSize) % zstd::kPage;
  padding_ = beyond == 0 ? 0 : zstd::kPage - beyond;
  if (padding_ > 0 && padding_ < zstd::kSkippableHeaderSize) {
    padding_ += zstd::kPage;
  }
}

SeekableZstdWriter::BlockRoom SeekableZstdWriter::block_room() const {
  // Places count from the beginning of the frame.
  const ByteCount begun = stored_size_ - frame_begin_; // 0 while padding_ is still to come
  const std::size_t begin = begun == 0 ? zstd::kRawFrameHeadSize : begun + kBlockHeaderSize;
  const std::size_t frame_end = kFrameSize - (is_regular_ ? 0 : zstd::kPage);
  if (begin >= frame_end) { // blocks ended early have left too little
    return {.content = kBlockHeaderSize, .last = true};
  }
  const std::size_t lines = (begin - kRawFrameHeader.size()) / kBlockSizeMax + 1;
  const std::size_t line = kRawFrameHeader.size() + lines * kBlockSizeMax;
  const std::size_t end = std::min({line, frame_end, begin + zstd::kRawBlockContent});
  return {.content = end - begin, .last = end == frame_end};
}

/// Writes what is held, with the header of the frame when it is the first block of it.
Result<void> SeekableZstdWriter::write_block(bool last) {
  const bool first = stored_size_ == frame_begin_;
  std::byte* const header = block_.get() + kHeadSize - kBlockHeaderSize;
  write_number(held_ << zstd::kBlockSizeShift | zstd::kRawBlock | (last ? zstd::kLastBlock : 0),
               {header, kBlockHeaderSize});
  std::byte* begin = header;
  if (first) {
    begin -= kRawFrameHeader.size();
    std::ranges::copy(kRawFrameHeader, begin);
    begin = put_padding(begin);
  }
  const std::size_t length = std::exchange(held_, 0);
  TRY(put({begin, header + kBlockHeaderSize + length}));
  if (observer_ != nullptr && length > 0 && frame_ == Frame::raw) {
    observer_->on_raw(content_size_ - length, stored_size_ - length, length);
  }
  return {};
}

/// Puts a skippable frame (RFC 8878 section 3.1.2) in front of the frame that begins at `begin`,
/// with an entry of its own, as the seekable format wants. Returns where it begins.
std::byte* SeekableZstdWriter::put_padding(std::byte* begin) {
  const std::size_t size = std::exchange(padding_, 0);
  if (size == 0) {
    return begin;
  }
  begin -= size;
  write_number(zstd::kSkippableMagic, {begin, 4});
  write_number(size - zstd::kSkippableHeaderSize, {begin + 4, 4});
  std::fill_n(begin + zstd::kSkippableHeaderSize, size - zstd::kSkippableHeaderSize, std::byte{0});
  entries_.push_back({.stored = static_cast<std::uint32_t>(size), .content = 0});
  frame_begin_ += size;
  return begin;
}

Result<void> SeekableZstdWriter::flush() {
  if (frame_ == Frame::undecided && held_ > 0) {
    TRY(decide());
  }
  if (frame_ == Frame::raw && held_ > 0) {
    is_regular_ = false;
    return write_block(false);
  }
  return frame_ == Frame::compressed ? tell_compressed() : Result<void>{};
}

Result<void> SeekableZstdWriter::finish() {
  if (frame_ == Frame::raw) {
    TRY(write_block(true));
    TRY(close_frame());
  } else if (frame_ == Frame::compressed) {
    TRY(end_compressed());
  } else if (frame_content_ > 0 || (entries_.empty() && pending_.empty())) {
    // Also of nothing at all: not every decoder takes a file that has no frame.
    TRY(end_small());
  }
  TRY(put_pending());
  return write_table();
}

/// Ends a frame that is too short for a sample.
Result<void> SeekableZstdWriter::end_small() {
  hold({});
  TRY(decide());
  if (frame_ == Frame::compressed) {
    return end_compressed();
  }
  padding_ = 0; // so little goes out in one round, wherever it lies
  TRY(write_block(true));
  return close_frame();
}

/// Leaves a whole frame to the threads of the pool as far as they have not enough to do, so that
/// the next one can come meanwhile.
Result<void> SeekableZstdWriter::end_compressed() {
  TRY(tell_compressed());
  const auto job = std::make_shared<ZstdEncoderPool::Job>();
  job->context = std::move(context_);
  job->size = frame_content_;
  begin_frame();
  const bool whole = job->size == kFrameSize; // a shorter one is the last
  while (!whole || !pool_.offer(job)) {
    if (pending_.empty()) {
      pending_.push_back(job);
      return put_pending();
    }
    TRY(put_first_pending());
  }
  pending_.push_back(job);
  return {};
}

Result<void> SeekableZstdWriter::put_first_pending() {
  const auto job = std::move(pending_.front());
  pending_.pop_front();
  const auto frame = pool_.collect(job);
  const Result<void> written = frame ? put(*frame) : std::unexpected(frame.error());
  pool_.release(std::move(job->context));
  TRY(written);
  entries_.push_back({.stored = static_cast<std::uint32_t>(frame->size()),
                      .content = static_cast<std::uint32_t>(job->size)});
  frame_begin_ = stored_size_;
  return {};
}

Result<void> SeekableZstdWriter::put_pending() {
  while (!pending_.empty()) {
    TRY(put_first_pending());
  }
  return {};
}

/// Of raw blocks.
Result<void> SeekableZstdWriter::close_frame() {
  entries_.push_back({.stored = static_cast<std::uint32_t>(stored_size_ - frame_begin_),
                      .content = static_cast<std::uint32_t>(frame_content_)});
  frame_begin_ = stored_size_;
  begin_frame();
  return {};
}

void SeekableZstdWriter::begin_frame() {
  frame_content_ = 0;
  told_ = 0;
  is_regular_ = true;
  frame_ = Frame::undecided;
}

Result<void> SeekableZstdWriter::write_table() {
  const std::size_t entries_size = entries_.size() * zstd::kSeekEntrySize;
  std::vector<std::byte> table(zstd::kSkippableHeaderSize + entries_size + zstd::kSeekFooterSize);
  std::size_t at = 0;
  const auto add = [&](std::uint64_t number, std::size_t size) {
    write_number(number, std::span(table).subspan(at, size));
    at += size;
  };
  add(zstd::kSeekTableMagic, 4);
  add(entries_size + zstd::kSeekFooterSize, 4);
  for (const Entry& entry : entries_) {
    add(entry.stored, 4);
    add(entry.content, 4);
  }
  add(entries_.size(), 4);
  add(0, 1);
  add(zstd::kSeekableMagic, 4);
  PKC_ASSERT(at == table.size());
  return put(table);
}

Result<void> SeekableZstdWriter::put(ByteSpan bytes) {
  TRY(target_.write(bytes));
  stored_size_ += bytes.size();
  return {};
}

} // namespace pkc
