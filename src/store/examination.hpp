// Examination: what is wrong with one object, if anything.
#pragma once

#include "verification.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/store/fsck.hpp"
#include "pkc/store/key.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace pkc::store {

/// What an examination showed.
struct Examined {
  enum class State : std::uint8_t {
    healthy,
    absent, ///< there is neither blob nor sidecar
    faulty,
    stopped, ///< by the pace
  } state = State::absent;
  Fault fault{}; ///< when faulty
  std::string detail;
  ByteCount size = 0; ///< of the blob, when healthy
};

/// Looks at the pair of a key as a reader does, and hashes the blob if so asked. Without the lock
/// of the key a healthy pair may look faulty, and a faulty one may not look healthy longer than an
/// upload takes to replace it. Never fails: what cannot be looked at is unreadable.
Examined examine(blob::Backend& backend, const Key& key, VerifyContent verify, const Pace& pace);

} // namespace pkc::store
