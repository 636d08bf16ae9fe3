#include "pkc/base/zstd.hpp"

#include "zstd_frame.hpp"

#include "pkc/base/assert.hpp"

#include <zstd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace pkc {

namespace {

constexpr std::size_t kOutputSize = ZstdContextPool::kBufferSize;

using zstd::kFrameMagic;
using zstd::kMagicSize;
using zstd::kSkippableHeaderSize;
using zstd::kSkippableMagic;
using zstd::kSkippableMask;
using zstd::read_number;

/// Where the parts of a frame's header are. Parsed here and not by libzstd, because the window must
/// be known before libzstd allocates it, and because a build of libzstd may decode the legacy
/// formats, whose memory it does not bound.
class FrameDescriptor {
 public:
  explicit FrameDescriptor(std::byte descriptor) : bits_(std::to_integer<unsigned>(descriptor)) {}

  [[nodiscard]] bool single_segment() const { return (bits_ & 0x20U) != 0; }
  [[nodiscard]] std::size_t window_size() const { return single_segment() ? 0 : 1; }
  [[nodiscard]] std::size_t dictionary_id_size() const {
    constexpr std::array<std::size_t, 4> kSizes{0, 1, 2, 4};
    return kSizes.at(bits_ & 3U);
  }
  [[nodiscard]] std::size_t content_size_size() const {
    const unsigned flag = bits_ >> 6U;
    return flag == 0 && !single_segment() ? 0 : std::size_t{1} << flag;
  }
  [[nodiscard]] std::size_t header_size() const {
    return kMagicSize + 1 + window_size() + dictionary_id_size() + content_size_size();
  }

 private:
  unsigned bits_;
};

struct FrameFacts {
  std::uint64_t window = 0;
  std::uint64_t dictionary_id = 0;
  std::optional<std::uint64_t> content_size;
};

/// REQUIRES: `header` is as long as its descriptor says.
FrameFacts parse_frame_header(ByteSpan header) {
  const FrameDescriptor descriptor(header[kMagicSize]);
  FrameFacts facts;
  std::size_t at = kMagicSize + 1;
  if (!descriptor.single_segment()) {
    const auto byte = std::to_integer<std::uint64_t>(header[at]);
    const std::uint64_t base = std::uint64_t{1} << (10 + (byte >> 3U));
    facts.window = base + base / 8 * (byte & 7U);
  }
  at += descriptor.window_size();
  facts.dictionary_id = read_number(header.subspan(at, descriptor.dictionary_id_size()));
  at += descriptor.dictionary_id_size();
  if (const std::size_t size = descriptor.content_size_size(); size > 0) {
    // A two-byte field counts from 256.
    facts.content_size = read_number(header.subspan(at, size)) + (size == 2 ? 256 : 0);
  }
  if (descriptor.single_segment()) {
    facts.window = facts.content_size.value_or(0);
  }
  return facts;
}

std::unexpected<Error> damaged(std::size_t code) {
  return fail(Errc::invalid_argument,
              std::string("the zstd data is damaged: ") + ZSTD_getErrorName(code));
}

} // namespace

void ZstdContextPool::ContextTraits::close(Type context) noexcept {
  ZSTD_freeDCtx(context);
}

ZstdContextPool::ZstdContextPool(ZstdPoolOptions options) : options_(options) {}

ZstdContextPool::Usage ZstdContextPool::usage() {
  const auto state = state_.lock();
  return {.idle_contexts = state->idle.size(),
          .idle_bytes = state->idle_bytes,
          .reserved_bytes = state->reserved};
}

Result<ZstdContextPool::Context> ZstdContextPool::acquire(int window_log_max) {
  Context context;
  {
    const auto state = state_.lock();
    if (!state->idle.empty()) {
      context = std::move(state->idle.back());
      state->idle.pop_back();
      state->idle_bytes -= context.size;
    }
  }
  if (!context.handle) {
    context.handle.reset(ZSTD_createDCtx());
    context.output = std::make_unique_for_overwrite<std::byte[]>(kOutputSize);
  }
  if (!context.handle) {
    return fail(Errc::unavailable, "no memory for a zstd context");
  }
  ZSTD_DCtx_reset(context.handle.get(), ZSTD_reset_session_only);
  const std::size_t code =
      ZSTD_DCtx_setParameter(context.handle.get(), ZSTD_d_windowLogMax, window_log_max);
  PKC_ASSERT(ZSTD_isError(code) == 0);
  return context;
}

void ZstdContextPool::release(Context context) {
  context.size = ZSTD_sizeof_DCtx(context.handle.get()) + kOutputSize;
  if (context.size > options_.idle_context_max) {
    return;
  }
  const auto state = state_.lock();
  if (state->idle.size() < options_.idle_max &&
      state->idle_bytes + context.size <= options_.idle_total_max) {
    state->idle_bytes += context.size;
    state->idle.push_back(std::move(context));
  }
}

Result<void> ZstdContextPool::reserve(ByteCount size) {
  const auto state = state_.lock();
  if (size > options_.window_budget - state->reserved) {
    return fail(Errc::unavailable, "no room for another zstd window");
  }
  state->reserved += size;
  return {};
}

void ZstdContextPool::unreserve(ByteCount size) {
  const auto state = state_.lock();
  PKC_ASSERT(size <= state->reserved);
  state->reserved -= size;
}

ZstdDecoder::ZstdDecoder(ByteSink& target, ZstdContextPool& pool, ZstdDecodeLimits limits)
    : target_(target), pool_(pool), limits_(limits) {}

ZstdDecoder::~ZstdDecoder() {
  if (context_.handle) {
    pool_.release(std::move(context_));
  }
  // After the context: the budget must not be given away while its window still exists.
  pool_.unreserve(reserved_);
}

Result<void> ZstdDecoder::write(ByteSpan bytes) {
  while (!bytes.empty()) {
    TRY_ASSIGN(const std::size_t used, take(bytes));
    bytes = bytes.subspan(used);
  }
  return {};
}

/// Takes as much as belongs to the current state; returns how much that was.
Result<std::size_t> ZstdDecoder::take(ByteSpan bytes) {
  switch (state_) {
    case State::frame_header:
      return take_header(bytes);
    case State::skippable:
      return take_skippable(bytes);
    case State::blocks:
      return take_blocks(bytes);
  }
  std::unreachable();
}

Result<void> ZstdDecoder::finish() {
  if (compressed_ == 0 && header_size_ == 0) {
    return fail(Errc::invalid_argument, "the body is empty");
  }
  if (state_ != State::frame_header || header_size_ > 0) {
    return fail(Errc::invalid_argument, "the zstd data ends inside a frame");
  }
  return {};
}

/// Takes one byte: headers are short, and each byte may tell how many more belong to it.
Result<std::size_t> ZstdDecoder::take_header(ByteSpan bytes) {
  header_.at(header_size_) = bytes[0];
  ++header_size_;
  if (header_size_ < kMagicSize) {
    return 1;
  }
  const auto magic = static_cast<std::uint32_t>(read_number(ByteSpan(header_).first(kMagicSize)));
  if ((magic & kSkippableMask) == kSkippableMagic) {
    if (header_size_ == kSkippableHeaderSize) {
      skip_ = read_number(ByteSpan(header_).subspan(kMagicSize, 4));
      state_ = skip_ == 0 ? State::frame_header : State::skippable;
      compressed_ += std::exchange(header_size_, 0);
    }
    return 1;
  }
  if (magic != kFrameMagic) {
    return fail(Errc::invalid_argument,
                compressed_ == 0 ? "the body is not zstd data"
                                 : "something that is not zstd data follows the last frame");
  }
  if (header_size_ > kMagicSize &&
      header_size_ == FrameDescriptor(header_[kMagicSize]).header_size()) {
    TRY(begin_frame(ByteSpan(header_).first(std::exchange(header_size_, 0))));
  }
  return 1;
}

std::size_t ZstdDecoder::take_skippable(ByteSpan bytes) {
  const auto used = static_cast<std::size_t>(std::min<ByteCount>(skip_, bytes.size()));
  skip_ -= used;
  compressed_ += used;
  if (skip_ == 0) {
    state_ = State::frame_header;
  }
  return used;
}

Result<void> ZstdDecoder::begin_frame(ByteSpan header) {
  const FrameFacts facts = parse_frame_header(header);
  if (facts.dictionary_id != 0) {
    return fail(Errc::invalid_argument, "the zstd data needs a dictionary");
  }
  if (facts.window > std::uint64_t{1} << static_cast<unsigned>(limits_.window_log_max)) {
    return fail(Errc::invalid_argument,
                "the zstd window is larger than 2^" + std::to_string(limits_.window_log_max));
  }
  if (facts.content_size && *facts.content_size > limits_.decoded_size_max - decoded_) {
    return fail(Errc::too_large, "the decoded size exceeds the limit");
  }
  TRY(reserve_window(std::min(facts.window, facts.content_size.value_or(facts.window))));
  if (!context_.handle) {
    TRY_ASSIGN(context_, pool_.acquire(limits_.window_log_max));
  }
  state_ = State::blocks;
  TRY_ASSIGN(const std::size_t used, take_blocks(header));
  PKC_ASSERT(used == header.size());
  return {};
}

/// libzstd keeps the largest window of the stream, so that is what we account for.
Result<void> ZstdDecoder::reserve_window(ByteCount size) {
  large_window_ = large_window_ || size > limits_.large_window_min;
  if (size > pool_.options_.unbudgeted_window_max && size > reserved_) {
    TRY(pool_.reserve(size - reserved_));
    reserved_ = size;
  }
  return {};
}

Result<std::size_t> ZstdDecoder::take_blocks(ByteSpan bytes) {
  ZSTD_inBuffer input{.src = bytes.data(), .size = bytes.size(), .pos = 0};
  while (true) {
    ZSTD_outBuffer output{.dst = context_.output.get(), .size = kOutputSize, .pos = 0};
    const std::size_t before = input.pos;
    const std::size_t code = ZSTD_decompressStream(context_.handle.get(), &output, &input);
    if (ZSTD_isError(code) != 0) {
      return damaged(code);
    }
    compressed_ += input.pos - before;
    TRY(forward(output.pos));
    if (code == 0) {
      state_ = State::frame_header;
      return input.pos;
    }
    if (input.pos == input.size && output.pos < output.size) {
      return input.pos;
    }
  }
}

Result<void> ZstdDecoder::forward(std::size_t produced) {
  if (produced == 0) {
    return {};
  }
  decoded_ += produced;
  if (decoded_ > limits_.decoded_size_max) {
    return fail(Errc::too_large, "the decoded size exceeds the limit");
  }
  const ByteCount free_size =
      large_window_ ? limits_.ratio_free_size_large_window : limits_.ratio_free_size;
  if (limits_.ratio_max > 0 && decoded_ > free_size && decoded_ / limits_.ratio_max > compressed_) {
    return fail(Errc::too_large, "the zstd data is compressed too strongly to be plausible");
  }
  return target_.write(ByteSpan(context_.output.get(), produced));
}

} // namespace pkc
