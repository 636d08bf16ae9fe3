#include "small_file.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/digest.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace pkc::store {

Result<std::size_t> SmallFile::read_at(ByteCount offset, MutableByteSpan buffer) {
  const std::size_t start = std::min<ByteCount>(offset, bytes_.size());
  const std::size_t count = std::min(bytes_.size() - start, buffer.size());
  if (count > 0) { // an empty buffer may be at no address
    std::memcpy(buffer.data(), bytes_.data() + start, count);
  }
  return count;
}

Result<void> SmallFile::write(ByteSpan /*bytes*/) {
  PKC_ASSERT(false); // nobody writes to a file that was opened for reading
  return {};
}

std::shared_ptr<File> read_small_file(std::shared_ptr<File> file, const Sidecar& sidecar) {
  std::string bytes(sidecar.size, '\0');
  const auto count = file->read_at(0, std::as_writable_bytes(std::span(bytes)));
  if (!count || *count != sidecar.size || sha256(as_bytes(bytes)) != sidecar.hash) {
    return file;
  }
  return std::make_shared<SmallFile>(std::move(bytes), file->opened_stat());
}

} // namespace pkc::store
