#include "descriptor_sink.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string_view>
#include <utility>

namespace pkc::ops {
namespace {

constexpr std::size_t kBufferSize = 64 * std::size_t{1024};
constexpr std::chrono::seconds kFlushInterval{1};

/// Writes everything or gives up at the first real error.
void write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(descriptor, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
      continue;
    }
    const int error_number = errno;
    if (error_number == EAGAIN) {
      // Somebody else made the terminal or pipe non-blocking; that is no reason to lose lines.
      pollfd writable{.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&writable, 1, -1);
    } else if (error_number != EINTR) {
      return;
    }
  }
}

} // namespace

DescriptorSink::DescriptorSink(int descriptor) : descriptor_(descriptor) {
  flusher_ = std::jthread([this](const std::stop_token& stop) { flush_periodically(stop); });
}

DescriptorSink::~DescriptorSink() {
  flusher_.request_stop();
  flusher_.join();
  DescriptorSink::flush();
}

void DescriptorSink::log(const spdlog::details::log_msg& message) {
  bool first = false;
  bool full = false;
  {
    const auto state = state_.lock();
    first = state->buffer.size() == 0;
    state->formatter->format(message, state->buffer);
    full = state->buffer.size() >= kBufferSize;
  }
  if (full) {
    flush();
  } else if (first) {
    lines_came_.notify_one();
  }
}

void DescriptorSink::flush() {
  const std::scoped_lock output(output_);
  write_waiting();
}

void DescriptorSink::redirect(int descriptor) {
  const std::scoped_lock output(output_);
  write_waiting();
  descriptor_ = descriptor;
}

/// REQUIRES: output_ is held.
void DescriptorSink::write_waiting() {
  spdlog::memory_buf_t piece;
  piece.reserve(kBufferSize);
  {
    const auto state = state_.lock();
    std::swap(piece, state->buffer);
  }
  write_all(descriptor_, std::string_view(piece.data(), piece.size()));
}

void DescriptorSink::flush_periodically(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      auto state = state_.lock();
      lines_came_.wait(state.lock(), stop, [&state] { return state->buffer.size() != 0; });
      // More lines may come while we wait: the point is to write many at once.
      lines_came_.wait_for(state.lock(), stop, kFlushInterval, [] { return false; });
    }
    flush();
  }
}

void DescriptorSink::set_pattern(const std::string& pattern) {
  set_formatter(
      std::make_unique<spdlog::pattern_formatter>(pattern, spdlog::pattern_time_type::utc));
}

void DescriptorSink::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
  state_.lock()->formatter = std::move(formatter);
}

} // namespace pkc::ops
