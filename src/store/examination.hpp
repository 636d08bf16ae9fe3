// Examination: what is wrong with one object, if anything.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/zstd.hpp"
#include "pkc/store/content_store.hpp"
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
  ByteCount size = 0;              ///< of the blob, when healthy
  std::optional<Sha256> refers_to; ///< the content of a healthy record of a download
};

/// Looks at the pair of a key as a reader does. Without the lock of the key a healthy pair may look
/// faulty, and a faulty one may not look healthy longer than an upload takes to replace it. Never
/// fails: what cannot be looked at is unreadable.
Examined examine_pair(const FsckSpace& space, const Key& key);

/// The same, and reads the blob: its bytes, and what they decode to where we encode.
Examined examine_bytes(const FsckSpace& space,
                       const Key& key,
                       ZstdContextPool& decoders,
                       const Pace& pace);

} // namespace pkc::store
