#include "pkc/base/random.hpp"

#include "pkc/base/assert.hpp"

#include <openssl/rand.h>

#include <limits>

namespace pkc {

Result<void> fill_random(MutableByteSpan buffer) {
  PKC_ASSERT(buffer.size() <= std::numeric_limits<int>::max());
  const bool filled = RAND_priv_bytes(reinterpret_cast<unsigned char*>(buffer.data()),
                                      static_cast<int>(buffer.size())) == 1;
  return filled ? Result<void>{} : fail(Errc::io, "the system gives no random bytes");
}

} // namespace pkc
