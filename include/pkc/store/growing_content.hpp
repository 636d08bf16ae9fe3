// GrowingContent: content that is being written, for those who read it meanwhile.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/store/room.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace pkc::store {

using Piece = FilePiece;

/// What has come of an object so far, as plain bytes in files. Thread-safe: many read while one
/// writer adds. Shared by all of them; what is in it stays readable, whatever becomes of the
/// object, until its last holder has gone, and so does the room that it takes of the disk. The
/// backend and the room outlive it.
///
/// Whoever wants to wait for more asks the one who writes: nothing here tells of an end. About 24
/// bytes of memory for every 128 KiB of content.
class GrowingContent {
 public:
  /// Readable now; it only grows.
  [[nodiscard]] ByteCount size() const;

  /// Where content from `offset` on lies. Nothing is said of the digest: who sends it before it was
  /// verified has to break the transfer when it turns out wrong. REQUIRES: offset < size().
  [[nodiscard]] Piece piece(ByteCount offset) const;

 private:
  friend class GrowingWriter;

  struct Segment {
    ByteCount content_begin = 0;
    std::uint64_t file_begin : 63 = 0;
    std::uint64_t spooled : 1 = 0; ///< in the spool, not in the upload
  };
  struct State {
    std::shared_ptr<File> upload;
    std::shared_ptr<File> spool;
    std::vector<Segment> segments;
    ByteCount size = 0;
  };

  mutable Guarded<State> state_;
};

} // namespace pkc::store
