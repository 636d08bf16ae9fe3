// SplicePipe: parts of files on their way to a socket, as many as one call can send.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

namespace pkc::http {

/// Holds references to pages of files, no copies of them: up to 512 KiB. A file whose parts lie
/// apart goes out with a call of sendfile() for each part, each of which ends with a segment of its
/// own and wakes the client for it; through this, with one for all. One thread at a time.
class SplicePipe {
 public:
  /// Makes it, unless it is there. False when there can be none of that size: no descriptors are
  /// left, or the user has as many large pipes as fs.pipe-user-pages-soft allows.
  bool open();

  /// Puts a part of a file behind what is there. Returns how much of it found room: 0 too when the
  /// file ends at `offset`. REQUIRES: open(). Errors: corrupt, io.
  Result<ByteCount> add(int file, ByteCount offset, ByteCount length);

  /// Of what was added and not taken out.
  [[nodiscard]] ByteCount size() const { return size_; }
  /// Where it is taken out, by whoever tells took() how much.
  [[nodiscard]] int descriptor() const { return output_.get(); }
  void took(ByteCount count) { size_ -= count; }

  /// Lets go of the pages that were not taken out.
  void clear();

 private:
  UniqueFd input_;
  UniqueFd output_;
  ByteCount size_ = 0;
};

} // namespace pkc::http
