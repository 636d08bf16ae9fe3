// Zstandard in the seekable format: content in independent frames, with a table of them at the end,
// so that any part is decoded without the rest.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/base/zstd.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

struct ZSTD_CCtx_s;

namespace pkc {

/// The most content of a frame. Frames of raw blocks take as much of the file, and have a few bytes
/// less; the last frame may have less anyway.
inline constexpr ByteCount kSeekableFrameSize = 1 * kMiB;
/// More frames are neither written nor read: 1 TiB of content, and a table of 8 MiB.
inline constexpr std::size_t kSeekableFramesMax = std::size_t{1024} * 1024;

/// Encoding contexts for many threads, with the buffer of one frame each, and threads that compress
/// frames beside those who write them. Thread-safe. Outlives its writers.
class ZstdEncoderPool {
 public:
  /// `idle_max`: contexts kept for reuse; each takes about 4 MiB. `helpers`: threads, begun with
  /// the first whole frame; at most twice as many frames are with them, of all writers together.
  /// With none each writer compresses by itself. What is written is the same.
  explicit ZstdEncoderPool(std::size_t idle_max = 4, std::size_t helpers = 0)
      : idle_max_(idle_max), helpers_(helpers) {}
  ZstdEncoderPool(const ZstdEncoderPool&) = delete;
  ZstdEncoderPool& operator=(const ZstdEncoderPool&) = delete;
  ZstdEncoderPool(ZstdEncoderPool&&) = delete;
  ZstdEncoderPool& operator=(ZstdEncoderPool&&) = delete;
  ~ZstdEncoderPool();

  [[nodiscard]] std::size_t idle_contexts() { return state_.lock()->idle.size(); }

 private:
  friend class SeekableZstdWriter;

  struct ContextTraits {
    using Type = ZSTD_CCtx_s*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  struct Context {
    UniqueHandle<ContextTraits> handle;
    std::unique_ptr<std::byte[]> content; ///< of one frame
    std::unique_ptr<std::byte[]> output;  ///< for what it may become
  };
  /// A frame whose content is complete.
  struct Job {
    Context context;
    std::size_t size = 0; ///< of the content
    // Under the lock of the pool:
    bool offered = false;
    bool done = false;
    Result<ByteSpan> frame = ByteSpan(); ///< once it is done; in the context's output
  };
  struct State {
    std::vector<Context> idle;
    std::deque<std::shared_ptr<Job>> queue; ///< of jobs that nobody has begun
    std::size_t offered = 0;                ///< jobs that were not collected yet
    std::vector<std::jthread> threads;
    bool stopping = false;
  };

  /// Errors: unavailable when there is no memory.
  Result<Context> acquire();
  /// Compresses up to the content of one frame into the context's output.
  static Result<ByteSpan> compress(Context& context, ByteSpan content, int level);
  /// The whole frame: compressed, or raw when that is better.
  static Result<ByteSpan> encode(Context& context, std::size_t size);
  /// Lets a thread do it. False when enough is with them.
  bool offer(const std::shared_ptr<Job>& job);
  /// The frame; whoever asks does it when nobody has begun. To be called once.
  Result<ByteSpan> collect(const std::shared_ptr<Job>& job);
  /// collect() for a job that nobody wants any more.
  void drop(const std::shared_ptr<Job>& job);
  void release(Context context);
  bool has_helper(State& state);
  void help();

  const std::size_t idle_max_;
  const std::size_t helpers_;
  std::condition_variable queued_;
  std::condition_variable done_;
  Guarded<State> state_;
};

/// Hears where content goes while it is written, each byte in one of the two ways.
class SeekableZstdObserver {
 public:
  virtual ~SeekableZstdObserver() = default;
  /// `length` bytes of content from `content_offset` on have been written to the target as they
  /// are; they lie there from `stored_offset` on.
  virtual void on_raw(ByteCount content_offset, ByteCount stored_offset, ByteCount length) = 0;
  /// These bytes of content are being compressed: nobody can read them from the target. Errors
  /// are those of the write that brought them.
  virtual Result<void> on_compressed(ByteCount content_offset, ByteSpan content) = 0;
};

/// Encodes what is written to it and writes valid zstd to `target`: independent frames of
/// kSeekableFrameSize of content, and the table of the seekable format (0.1.0) in a skippable frame
/// behind them. `zstd -d` of it gives the content. One thread at a time.
///
/// A frame that would not shrink holds raw blocks of up to 128 KiB, which lie at pages of the file;
/// whether it would is tried on its first 64 KiB, so content that is compressed already passes at
/// the speed of copying. Raw blocks are written as soon as they are full: at most 128 KiB of
/// content are with the writer and neither with the target nor with the observer. Only a compressed
/// frame takes more memory, a context of the pool (about 4 MiB); with helpers in the pool there may
/// be several of them, which reach the target in order and at the latest with finish().
///
/// The table's own checksums are not used: compressed frames have a checksum of their own, which
/// every decoder checks.
class SeekableZstdWriter : public ByteSink {
 public:
  /// All outlive the writer; `observer` may be null.
  SeekableZstdWriter(ByteSink& target, ZstdEncoderPool& pool, SeekableZstdObserver* observer);
  SeekableZstdWriter(const SeekableZstdWriter&) = delete;
  SeekableZstdWriter& operator=(const SeekableZstdWriter&) = delete;
  SeekableZstdWriter(SeekableZstdWriter&&) = delete;
  SeekableZstdWriter& operator=(SeekableZstdWriter&&) = delete;
  ~SeekableZstdWriter() override;

  /// Errors: too_large beyond kSeekableFramesMax; unavailable when there is no memory; those of
  /// target and observer.
  Result<void> write(ByteSpan bytes) override;
  /// Hands on what was held back, to the target or the observer, for content that comes slowly. It
  /// costs up to 3 bytes, and ranges of a frame with many such pieces cannot be sent raw. Errors as
  /// write().
  Result<void> flush();
  /// Ends the last frame and writes the table; nothing may follow. Errors as write().
  Result<void> finish();

  [[nodiscard]] ByteCount content_size() const { return content_size_; }
  /// Written to the target so far.
  [[nodiscard]] ByteCount stored_size() const { return stored_size_; }

 private:
  enum class Frame : std::uint8_t {
    undecided, ///< fewer than 64 KiB of it are here
    raw,
    compressed,
  };
  struct Entry {
    std::uint32_t stored = 0;
    std::uint32_t content = 0;
  };

  Result<std::size_t> take(ByteSpan bytes);
  Result<void> take_part(ByteSpan bytes);
  Result<void> take_compressed(ByteSpan bytes);
  Result<void> take_raw(ByteSpan bytes);
  void hold(ByteSpan bytes);
  [[nodiscard]] ByteSpan held() const;
  Result<void> decide();
  Result<void> put_first_pending();
  Result<void> put_pending();
  Result<void> tell_compressed();
  struct BlockRoom {
    std::size_t content = 0; ///< how much a block may have that begins now
    bool last = false;       ///< whether the frame ends with it when it is full
  };
  void begin_raw();
  [[nodiscard]] BlockRoom block_room() const;
  std::byte* put_padding(std::byte* begin);
  Result<void> write_block(bool last);
  Result<void> end_small();
  Result<void> end_compressed();
  Result<void> close_frame();
  void begin_frame();
  Result<void> write_table();
  Result<void> put(ByteSpan bytes);

  ByteSink& target_;
  ZstdEncoderPool& pool_;
  SeekableZstdObserver* const observer_;
  ZstdEncoderPool::Context context_;                          ///< of a compressed frame
  std::deque<std::shared_ptr<ZstdEncoderPool::Job>> pending_; ///< frames before the current one
  std::unique_ptr<std::byte[]> block_;
  Frame frame_ = Frame::undecided;
  std::size_t held_ = 0;          ///< bytes of content in block_
  std::size_t padding_ = 0;       ///< to be written before the frame
  bool is_regular_ = true;        ///< no block of this frame was ended early
  std::size_t frame_content_ = 0; ///< of this frame, held bytes included
  std::size_t told_ = 0;          ///< of a compressed frame, to the observer
  ByteCount frame_begin_ = 0;     ///< in the target; with padding_ still to come, before that
  ByteCount content_size_ = 0;
  ByteCount stored_size_ = 0;
  std::vector<Entry> entries_;
};

/// The table of a stored file. Immutable.
class SeekTable {
 public:
  struct Frame {
    ByteCount content_begin = 0;
    ByteCount stored_begin = 0;
  };

  /// Parses the last bytes of a file of `stored_size` bytes, which hold the whole table and may
  /// hold more. Errors: corrupt for anything that is not a table of all of the file, or asks for
  /// more than our own writer ever does.
  static Result<SeekTable> parse(ByteSpan tail, ByteCount stored_size);
  /// Reads that of `file`. Errors also: io.
  static Result<SeekTable> read(File& file, ByteCount stored_size);

  [[nodiscard]] ByteCount content_size() const { return frames_.back().content_begin; }
  /// Where the table begins.
  [[nodiscard]] ByteCount frames_size() const { return frames_.back().stored_begin; }
  [[nodiscard]] std::size_t frame_count() const { return frames_.size() - 1; }
  /// The frame that has the byte at `offset`, and where the next one begins (its successor in
  /// memory). REQUIRES: offset < content_size().
  [[nodiscard]] const Frame* frame_at(ByteCount offset) const;

 private:
  explicit SeekTable(std::vector<Frame> frames) : frames_(std::move(frames)) {}
  std::vector<Frame> frames_; ///< and one behind the last, for its end
};

/// Content that lies in a file as it is, up to where the next run of the content begins.
struct RawRun {
  ByteCount content_begin = 0;
  ByteCount file_begin = 0;
};

/// A stored file of which parts are read. Immutable; thread-safe when the file is.
class SeekableZstdFile {
 public:
  /// Errors: corrupt, io.
  static Result<SeekableZstdFile> open(std::shared_ptr<File> file, ByteCount stored_size);

  [[nodiscard]] ByteCount content_size() const { return table_->content_size(); }

  /// Where content from `offset` on lies in the file as it is; nothing when it is compressed there,
  /// or in very small pieces. REQUIRES: offset < content_size(). Errors: corrupt, io.
  [[nodiscard]] Result<std::optional<FilePiece>> raw_piece(ByteCount offset) const;

  /// Whether raw_piece() gives every byte of the frames that a part touches. Reads twice from each.
  /// REQUIRES: length > 0, offset + length <= content_size(). Errors: corrupt, io.
  [[nodiscard]] Result<bool> is_raw(ByteCount offset, ByteCount length) const;

  /// Where all of the content lies, if it lies there as it is and in no more than `runs_max` runs;
  /// mostly of 128 KiB. Reads from each. Errors: corrupt, io.
  [[nodiscard]] Result<std::optional<std::vector<RawRun>>> raw_runs(std::size_t runs_max) const;

  /// A part of the content; only frames that it touches are read. Errors of read(): corrupt, io;
  /// unavailable when there is no memory. REQUIRES: offset + length <= content_size(). `pool`
  /// outlives the source.
  [[nodiscard]] std::unique_ptr<ByteSource> content(ByteCount offset,
                                                    ByteCount length,
                                                    ZstdContextPool& pool) const;

 private:
  SeekableZstdFile(std::shared_ptr<File> file, std::shared_ptr<const SeekTable> table)
      : file_(std::move(file)), table_(std::move(table)) {}
  std::shared_ptr<File> file_;
  std::shared_ptr<const SeekTable> table_;
};

/// Decodes all that `stored` gives, which must be `content_size` bytes, and gives the last piece of
/// it only after `stored` has come to its clean end. Errors of read(): corrupt when it decodes to
/// anything else; unavailable; those of `stored`. `pool` outlives the source.
std::unique_ptr<ByteSource> make_decoding_source(std::unique_ptr<ByteSource> stored,
                                                 ByteCount content_size,
                                                 ZstdContextPool& pool);

} // namespace pkc
