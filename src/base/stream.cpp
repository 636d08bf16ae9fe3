#include "pkc/base/stream.hpp"

#include <memory>

namespace pkc {

Result<ByteCount> copy_stream(ByteSource& source, ByteSink& sink, ByteCount limit) {
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  ByteCount total = 0;
  while (true) {
    TRY_ASSIGN(const std::size_t count, source.read({buffer.get(), kStreamBufferSize}));
    if (count == 0) {
      return total;
    }
    total += count;
    if (total > limit) {
      return fail(Errc::too_large, "more than " + format_byte_count(limit));
    }
    TRY(sink.write({buffer.get(), count}));
  }
}

} // namespace pkc
