// BackgroundSha256: the digest of a long stream, taken beside the thread that has the stream.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/guarded.hpp"

#include <array>
#include <condition_variable>
#include <cstddef>
#include <limits>
#include <memory>
#include <thread>

namespace pkc {

/// Incremental SHA-256 like Sha256Hasher. What begins as a short stream is hashed in update(); when
/// it turns out long, a thread of its own does the rest, so that whoever receives and writes a
/// large file need not hash it as well. That thread ends with finish() or with the hasher. A
/// machine with one processor, or without another thread to give, is served without.
///
/// One thread at a time. Takes 512 KiB of memory and the thread while the stream is long.
class BackgroundSha256 {
 public:
  static constexpr ByteCount kInlineMax = 4 * kMiB;
  /// For a hasher that never takes a thread.
  static constexpr ByteCount kAlwaysInline = std::numeric_limits<ByteCount>::max();

  /// `inline_max`: what a stream has before a thread pays.
  explicit BackgroundSha256(ByteCount inline_max = kInlineMax) : inline_max_(inline_max) {}
  BackgroundSha256(const BackgroundSha256&) = delete;
  BackgroundSha256& operator=(const BackgroundSha256&) = delete;
  BackgroundSha256(BackgroundSha256&&) = delete;
  BackgroundSha256& operator=(BackgroundSha256&&) = delete;
  ~BackgroundSha256();

  /// Copies the bytes if they are not hashed at once. Blocks while 512 KiB wait to be hashed.
  void update(ByteSpan bytes);
  /// The digest of everything since construction or the last finish(). Blocks until all is hashed.
  Sha256 finish();

  [[nodiscard]] bool in_background() const { return thread_.joinable(); }

 private:
  static constexpr std::size_t kPieceSize = 128 * kKiB;
  static constexpr std::size_t kPieces = 4;
  enum class End : std::uint8_t {
    none,
    when_done,
    at_once,
  };
  /// The n-th piece lies in place n % kPieces until it is hashed. All but the last are full.
  struct State {
    std::size_t posted = 0;
    std::size_t hashed = 0;
    std::size_t last_size = kPieceSize; ///< of the piece that was posted last
    End end = End::none;
  };

  bool start();
  void post();
  void stop(End end);
  void work();
  [[nodiscard]] std::byte* piece(std::size_t number) const {
    return pieces_.get() + (number % kPieces) * kPieceSize;
  }

  ByteCount inline_max_;
  ByteCount inline_ = 0;                ///< bytes that update() hashed itself
  Sha256Hasher hasher_;                 ///< the thread's while there is one
  std::unique_ptr<std::byte[]> pieces_; ///< null without a thread
  std::size_t filling_ = 0;             ///< number of the piece that is not posted yet
  std::size_t held_ = 0;                ///< bytes in it
  Guarded<State> state_;
  std::condition_variable changed_;
  std::jthread thread_;
};

} // namespace pkc
