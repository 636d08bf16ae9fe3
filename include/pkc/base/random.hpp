// Random bytes enter the program here.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

namespace pkc {

/// Fills `buffer` with bytes that nobody can guess (OpenSSL's generator for private values, seeded
/// by the kernel). Errors: io when the system has none to give. Thread-safe.
Result<void> fill_random(MutableByteSpan buffer);

} // namespace pkc
