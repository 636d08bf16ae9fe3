// Zstandard decoding as a ByteSink adapter, and the contexts it borrows.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/unique_handle.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct ZSTD_DCtx_s;

namespace pkc {

/// What a decoder refuses. A bomb may cost the CPU time of its limits, but no memory: only the part
/// of the window that is really decoded into is ever touched.
struct ZstdDecodeLimits {
  int window_log_max = 27; ///< frames that ask for more are refused (2^27 = 128 MiB)
  ByteCount decoded_size_max = 16 * kGiB;
  /// The most decoded bytes per compressed byte, once more than the free size is decoded; 0: no
  /// limit. The guard is about memory, so it is strict where a frame could touch a large window,
  /// and otherwise leaves room for what honest builds print: a log of one line repeated is
  /// compressed ten-thousandfold.
  std::uint64_t ratio_max = 2048;
  ByteCount large_window_min = 8 * kMiB; ///< windows above this are large
  ByteCount ratio_free_size = 256 * kMiB;
  ByteCount ratio_free_size_large_window = 16 * kMiB;
};

struct ZstdPoolOptions {
  std::size_t idle_max = 16;             ///< contexts kept for reuse
  ByteCount idle_context_max = 9 * kMiB; ///< one that grew beyond this (a window of 8 MiB) is freed
  ByteCount idle_total_max = 32 * kMiB;  ///< what all kept contexts may hold together
  ByteCount unbudgeted_window_max = 8 * kMiB; ///< windows above this draw on the budget
  ByteCount window_budget = 512 * kMiB;       ///< of all such windows in flight
};

/// Decoding contexts for many threads: a new one costs a millisecond of page faults per upload, a
/// reused one nothing. Also bounds the memory that large windows take together. Thread-safe.
/// Outlives its decoders.
class ZstdContextPool {
 public:
  /// Of the buffer that comes with each context: what libzstd recommends, so that one call can
  /// flush one whole block.
  static constexpr std::size_t kBufferSize = 128 * kKiB;

  explicit ZstdContextPool(ZstdPoolOptions options = {});

  struct Usage {
    std::size_t idle_contexts = 0;
    ByteCount idle_bytes = 0;
    ByteCount reserved_bytes = 0; ///< of the window budget
  };
  [[nodiscard]] Usage usage();

 private:
  friend class ZstdDecoder;
  friend class ZstdDecodingSource;

  struct ContextTraits {
    using Type = ZSTD_DCtx_s*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  struct Context {
    UniqueHandle<ContextTraits> handle;
    std::unique_ptr<std::byte[]> output;
    ByteCount size = 0;
  };
  struct State {
    std::vector<Context> idle;
    ByteCount idle_bytes = 0;
    ByteCount reserved = 0;
  };

  /// Ready for a first frame. Errors: unavailable when there is no memory.
  Result<Context> acquire(int window_log_max);
  void release(Context context);
  /// Errors: unavailable when the budget is exhausted.
  Result<void> reserve(ByteCount size);
  void unreserve(ByteCount size);

  const ZstdPoolOptions options_;
  Guarded<State> state_;
};

/// Decodes what is written to it and writes the content to `target`. Accepts any sequence of
/// frames: concatenated, skippable, with or without checksum and content size. Legacy (before 1.0)
/// frames and dictionaries are refused. One thread at a time. Holds at most the window the frame
/// asks for plus fixed buffers.
///
/// Errors of write(): invalid_argument for anything that is not zstd or asks for a larger window or
/// a dictionary; too_large beyond the limits; unavailable when the pool's budget for windows
/// is exhausted; and whatever `target` returns. Each comes with the write that makes it certain.
class ZstdDecoder : public ByteSink {
 public:
  /// `target` and `pool` outlive the decoder.
  ZstdDecoder(ByteSink& target, ZstdContextPool& pool, ZstdDecodeLimits limits);
  ZstdDecoder(const ZstdDecoder&) = delete;
  ZstdDecoder& operator=(const ZstdDecoder&) = delete;
  ZstdDecoder(ZstdDecoder&&) = delete;
  ZstdDecoder& operator=(ZstdDecoder&&) = delete;
  ~ZstdDecoder() override;

  Result<void> write(ByteSpan bytes) override;
  /// Call once at the end of the input. Errors: invalid_argument when a frame is incomplete or
  /// nothing came at all.
  Result<void> finish();

  [[nodiscard]] ByteCount decoded_size() const { return decoded_; }

 private:
  enum class State {
    frame_header,
    skippable,
    blocks
  };
  /// The longest header of a frame: magic, descriptor, window, dictionary id, content size.
  static constexpr std::size_t kFrameHeaderMax = 18;

  Result<std::size_t> take(ByteSpan bytes);
  Result<std::size_t> take_header(ByteSpan bytes);
  std::size_t take_skippable(ByteSpan bytes);
  Result<void> begin_frame(ByteSpan header);
  Result<void> reserve_window(ByteCount size);
  Result<std::size_t> take_blocks(ByteSpan bytes);
  Result<void> forward(std::size_t produced);

  ByteSink& target_;
  ZstdContextPool& pool_;
  const ZstdDecodeLimits limits_;
  ZstdContextPool::Context context_;
  ByteCount reserved_ = 0;
  bool large_window_ = false;
  State state_ = State::frame_header;
  std::array<std::byte, kFrameHeaderMax> header_{};
  std::size_t header_size_ = 0;
  ByteCount skip_ = 0; ///< of a skippable frame, still to come
  ByteCount compressed_ = 0;
  ByteCount decoded_ = 0;
};

} // namespace pkc
