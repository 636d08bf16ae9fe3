// Zstandard decoding as a ByteSink adapter.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/unique_handle.hpp"

#include <cstdint>

struct ZSTD_DCtx_s;

namespace pkc {

struct ZstdDecodeLimits {
  int window_log_max = 27; ///< frames that ask for more are refused (2^27 = 128 MiB)
  ByteCount decoded_size_max = 16 * kGiB;
  /// Decoded bytes per compressed byte beyond `ratio_free_size`; 0: no limit. Bounds what a bomb
  /// can touch of its window.
  std::uint64_t ratio_max = 2048;
  ByteCount ratio_free_size = 16 * kMiB;
};

/// Decodes what is written to it and writes the content to `target`. Accepts any sequence of
/// frames: concatenated, skippable, with or without checksum and content size. One thread at a
/// time. Holds at most the window the frame asks for plus fixed buffers.
///
/// Errors of write(): invalid_argument for anything that is not zstd or asks for a larger window or
/// a dictionary; too_large beyond the limits; and whatever `target` returns.
class ZstdDecoder : public ByteSink {
 public:
  /// `target` outlives the decoder.
  ZstdDecoder(ByteSink& target, ZstdDecodeLimits limits);
  Result<void> write(ByteSpan bytes) override;
  /// Call once at the end of the input. Errors: invalid_argument when a frame is incomplete or
  /// nothing came at all.
  Result<void> finish();

 private:
  struct ContextTraits {
    using Type = ZSTD_DCtx_s*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  ByteSink& target_;
  ZstdDecodeLimits limits_;
  UniqueHandle<ContextTraits> context_;
  ByteCount compressed_ = 0;
  ByteCount decoded_ = 0;
  bool inside_frame_ = false;
};

} // namespace pkc
