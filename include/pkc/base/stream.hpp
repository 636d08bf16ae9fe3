// ByteSource and ByteSink: how every body moves, in fixed buffers.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <cstddef>
#include <optional>

namespace pkc {

/// Somewhere bytes come from. One thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// Reads up to `buffer.size()` bytes (> 0) into `buffer` and returns how many; 0 is the clean
  /// end. After an error or the end nothing more may be read. May block, bounded by the deadline of
  /// the implementation.
  virtual Result<std::size_t> read(MutableByteSpan buffer) = 0;
};

/// Somewhere bytes go. One thread at a time.
class ByteSink {
 public:
  virtual ~ByteSink() = default;

  /// Takes all of `bytes` or fails. After an error nothing more may be written.
  virtual Result<void> write(ByteSpan bytes) = 0;
};

/// Reads `source` to its end into `sink` and returns the number of bytes moved. Stops with the
/// first error of either; with Errc::too_large when more than `limit` bytes come.
Result<ByteCount> copy_stream(ByteSource& source, ByteSink& sink, ByteCount limit = ~ByteCount{0});

} // namespace pkc
