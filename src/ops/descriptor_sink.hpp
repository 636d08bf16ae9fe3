// Where spdlog's lines go: a buffer in front of a file descriptor.
#pragma once

#include "pkc/base/guarded.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/sink.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

namespace pkc::ops {

/// Collects lines and writes them to a descriptor in large pieces: when 64 KiB have come, when
/// somebody calls flush(), and one second after the first waiting line at the latest. Thread-safe.
/// Destruction writes what is left.
///
/// Output that does not keep up blocks the writers once the buffer is full; output that fails loses
/// the lines, for there is nobody to tell.
class DescriptorSink : public spdlog::sinks::sink {
 public:
  /// `descriptor` outlives the sink and stays the caller's.
  explicit DescriptorSink(int descriptor);
  DescriptorSink(const DescriptorSink&) = delete;
  DescriptorSink& operator=(const DescriptorSink&) = delete;
  DescriptorSink(DescriptorSink&&) = delete;
  DescriptorSink& operator=(DescriptorSink&&) = delete;
  ~DescriptorSink() override;

  /// Writes what waits to the old descriptor and goes on with another one. After it the old one is
  /// not used any more.
  void redirect(int descriptor);

  void log(const spdlog::details::log_msg& message) override;
  void flush() override;
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

 private:
  struct State {
    std::unique_ptr<spdlog::formatter> formatter;
    // NOLINTNEXTLINE(readability-redundant-member-init): its default constructor is explicit.
    spdlog::memory_buf_t buffer = spdlog::memory_buf_t();
  };

  void flush_periodically(const std::stop_token& stop);
  void write_waiting();

  // Lock order: output_ before state_. output_ is held while the descriptor is written (it keeps
  // the pieces in order), state_ never.
  std::mutex output_;
  int descriptor_; ///< under output_
  Guarded<State> state_;
  std::condition_variable_any lines_came_;
  std::jthread flusher_;
};

} // namespace pkc::ops
