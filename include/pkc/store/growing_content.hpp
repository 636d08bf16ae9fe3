// GrowingContent: content that is being written, for those who read it meanwhile.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace pkc::store {

using Piece = FilePiece;

/// What has come of an object so far, as plain bytes in files. Thread-safe: many read while one
/// writer adds. Shared by all of them; what is in it stays readable, whatever becomes of the
/// object, until its last holder has gone, and so does the room that it takes of the disk. The
/// backend and the room outlive it.
///
/// Whoever wants to wait for more asks the one who writes: nothing here tells of an end. About 32
/// bytes of memory for every 128 KiB of content.
class GrowingContent {
 public:
  /// `upload`: where the content is written to.
  explicit GrowingContent(std::shared_ptr<File> upload) : upload_(std::move(upload)) {}

  /// Readable now; it only grows.
  [[nodiscard]] ByteCount size() const { return state_.lock()->size; }

  /// Where content from `offset` on lies. Nothing is said of the digest: who sends it before it was
  /// verified has to break the transfer when it turns out wrong. REQUIRES: offset < size().
  [[nodiscard]] Piece piece(ByteCount offset) const;

  // The writer's side.

  /// The next `length` bytes of content lie in the upload from `file_offset` on.
  void add_stored(ByteCount file_offset, ByteCount length);
  /// The next `length` bytes of content lie in `spool`, behind those that were added before. It is
  /// the same file in each call.
  void add_spooled(const std::shared_ptr<File>& spool, ByteCount length);

 private:
  /// Ends where the next one begins.
  struct Segment {
    ByteCount content_begin = 0;
    ByteCount file_begin = 0;
    bool spooled = false;
  };
  struct State {
    std::vector<Segment> segments;
    std::shared_ptr<File> spool; ///< null: there is nothing in it
    ByteCount spooled = 0;
    ByteCount size = 0;
  };

  const std::shared_ptr<File> upload_;
  mutable Guarded<State> state_;
};

} // namespace pkc::store
