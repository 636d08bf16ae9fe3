// UploadTemplate: valid Polykit artifacts by the million, without building one during the clock.
#pragma once

#include "pkc/base/bytes.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace pkc::bench {

/// `index` of a run with `seed`, as 64 hex characters beginning with `prefix` (at most 4). Two
/// seeds or two indexes practically never meet. All keys of a prefix of two characters share 256
/// shard directories, so that a warm-up run makes them and a timed run finds them, as in a cache
/// that has been used before.
std::string make_key(std::string_view prefix, std::uint64_t seed, std::uint64_t index);

/// The PUT of one artifact whose key changes from request to request and whose output file of
/// incompressible bytes stays the same: only the request line and metadata.json name the key, so
/// the rest of the body is shared by all. zstd stores such bytes as raw blocks, and so does this.
/// Immutable, thread-safe.
class UploadTemplate {
 public:
  /// `content_size`: bytes of the one output file.
  UploadTemplate(std::string_view host, ByteCount content_size);

  /// Request head and the first block of the body, for `key` (64 characters), into `head`.
  void render(std::string_view key, std::string& head) const;

  /// What follows head() on the wire; lives as long as this object.
  [[nodiscard]] std::string_view tail() const { return tail_; }

  /// Bytes of the whole body.
  [[nodiscard]] ByteCount body_size() const { return body_size_; }

 private:
  std::string head_;
  std::string tail_;
  ByteCount body_size_ = 0;
  std::size_t key_in_target_ = 0;
  std::size_t key_in_metadata_ = 0;
};

} // namespace pkc::bench
