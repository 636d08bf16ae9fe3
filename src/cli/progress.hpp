// Progress: how far long work is, for whoever watches a terminal.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/stream.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace pkc::cli {

/// "1.5 GiB": for people, at most three digits before the point.
std::string readable_size(std::uint64_t bytes);

/// A line on standard error that is written over and over, if that is a terminal. One thread.
class ProgressLine {
 public:
  ProgressLine();
  [[nodiscard]] bool is_seen() const { return terminal_; }
  void show(const std::string& text);
  /// Leaves what was shown last.
  void end();
  /// Leaves nothing.
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
};

/// "[####----------------] 12.0 MiB of 60.0 MiB, 4.0 MiB/s, 12 s left"; without a bar and an end
/// where the total is not known. Pure.
std::string transfer_text(ByteCount done,
                          std::optional<ByteCount> total,
                          std::chrono::milliseconds elapsed);

/// How far the work on a number of files is.
struct FilesDone {
  std::size_t done = 0;
  std::size_t total = 0;
  std::size_t failed = 0; ///< of those that are done
  ByteCount bytes = 0;
};

/// "[####----------------] 12 of 60 files, 1 failed, 12.0 MiB, 4.0 MiB/s". Pure.
std::string files_text(const FilesDone& files, std::chrono::milliseconds elapsed);

/// How far a transfer is. It shows nothing of one that takes less than half a second, and nothing
/// is left of it at the end. One thread.
class TransferProgress {
 public:
  enum class Shown : bool {
    no,
    on_a_terminal
  };
  explicit TransferProgress(Shown shown);
  TransferProgress(const TransferProgress&) = delete;
  TransferProgress& operator=(const TransferProgress&) = delete;
  TransferProgress(TransferProgress&&) = delete;
  TransferProgress& operator=(TransferProgress&&) = delete;
  ~TransferProgress() { clear(); }

  void set_total(ByteCount total) { total_ = total; }
  void at(ByteCount done);
  void clear() { line_.clear(); }
  [[nodiscard]] ByteCount done() const { return done_; }

 private:
  ProgressLine line_;
  bool seen_;
  ByteCount done_ = 0;
  std::optional<ByteCount> total_;
  SteadyTime start_;
  SteadyTime next_;
};

/// Tells of what goes through it. Both outlive it.
class WatchedSink final : public ByteSink {
 public:
  WatchedSink(ByteSink& sink, TransferProgress& progress) : sink_(sink), progress_(progress) {}
  Result<void> write(ByteSpan bytes) override;

 private:
  ByteSink& sink_;
  TransferProgress& progress_;
};

/// A file that is read from its beginning to its end, likewise.
class WatchedFile final : public File {
 public:
  WatchedFile(File& file, TransferProgress& progress) : file_(file), progress_(progress) {}
  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override;
  Result<void> write(ByteSpan bytes) override { return file_.write(bytes); }
  void begin_sync() override { file_.begin_sync(); }
  Result<void> sync() override { return file_.sync(); }
  [[nodiscard]] FileStat opened_stat() const override { return file_.opened_stat(); }
  [[nodiscard]] int descriptor() const override { return file_.descriptor(); }

 private:
  File& file_;
  TransferProgress& progress_;
};

} // namespace pkc::cli
