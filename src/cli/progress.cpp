#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace pkc::cli {

namespace {

constexpr std::chrono::milliseconds kPatience{500};
constexpr std::chrono::milliseconds kInterval{200};
constexpr std::size_t kBarWidth = 20;
/// Back to the beginning of the line, and nothing behind it.
constexpr std::string_view kRestart = "\r\033[K";

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr); // unbuffered
}

/// "42 s", "12 min", "3 h".
std::string rounded(double seconds) {
  constexpr double kMinute = 60;
  constexpr double kHour = 3600;
  const auto whole = [](double number) { return std::to_string(std::llround(number)); };
  if (seconds < 2 * kMinute) {
    return whole(seconds) + " s";
  }
  return seconds < 2 * kHour ? whole(seconds / kMinute) + " min"
                             : whole(std::min(seconds / kHour, 9999.0)) + " h";
}

std::string bar(double share) {
  const auto filled = static_cast<std::size_t>(share * static_cast<double>(kBarWidth));
  return "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '-') + "] ";
}

/// Bytes in a second.
double rate_of(ByteCount bytes, std::chrono::milliseconds elapsed) {
  const double seconds = std::max(std::chrono::duration<double>(elapsed).count(), 0.001);
  return static_cast<double>(bytes) / seconds;
}

std::string speed_text(double rate) {
  return readable_size(static_cast<std::uint64_t>(rate)) + "/s";
}

} // namespace

std::string readable_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 6> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  constexpr std::uint64_t kStep = 1024;
  std::size_t unit = 0;
  std::uint64_t scale = 1;
  while (unit + 1 < kUnits.size() && bytes / scale >= 1000) {
    scale *= kStep;
    ++unit;
  }
  std::string text = std::to_string(bytes / scale);
  if (unit > 0) {
    text.append(".").append(std::to_string(bytes % scale * 10 / scale));
  }
  return text.append(" ").append(kUnits[unit]);
}

ProgressLine::ProgressLine() : terminal_(::isatty(STDERR_FILENO) == 1) {}

void ProgressLine::show(const std::string& text) {
  if (terminal_) {
    put(std::string(kRestart) + text);
    shown_ = true;
  }
}

void ProgressLine::end() {
  if (shown_) {
    put("\n");
  }
  shown_ = false;
}

void ProgressLine::clear() {
  if (shown_) {
    put(kRestart);
  }
  shown_ = false;
}

std::string transfer_text(ByteCount done,
                          std::optional<ByteCount> total,
                          std::chrono::milliseconds elapsed) {
  const double rate = rate_of(done, elapsed);
  const std::string speed = speed_text(rate);
  if (!total || *total == 0) {
    return readable_size(done) + ", " + speed;
  }
  const double share = std::min(static_cast<double>(done) / static_cast<double>(*total), 1.0);
  std::string text = bar(share);
  text += readable_size(done) + " of " + readable_size(*total) + ", " + speed;
  if (done > 0 && done < *total) {
    text += ", " + rounded(static_cast<double>(*total - done) / rate) + " left";
  }
  return text;
}

std::string files_text(const FilesDone& files, std::chrono::milliseconds elapsed) {
  const std::size_t total = std::max<std::size_t>(files.total, 1);
  std::string text = bar(static_cast<double>(files.done) / static_cast<double>(total));
  text += std::to_string(files.done) + " of " + std::to_string(files.total) + " files";
  if (files.failed > 0) {
    text += ", " + std::to_string(files.failed) + " failed";
  }
  text += ", " + readable_size(files.bytes);
  return text + ", " + speed_text(rate_of(files.bytes, elapsed));
}

TransferProgress::TransferProgress(Shown shown)
    : seen_(shown == Shown::on_a_terminal && line_.is_seen()),
      start_(system_clock().steady_now()),
      next_(start_ + kPatience) {}

void TransferProgress::at(ByteCount done) {
  done_ = done;
  const SteadyTime now = seen_ ? system_clock().steady_now() : SteadyTime();
  if (!seen_ || now < next_) {
    return;
  }
  next_ = now + kInterval;
  line_.show(transfer_text(
      done, total_, std::chrono::duration_cast<std::chrono::milliseconds>(now - start_)));
}

Result<void> WatchedSink::write(ByteSpan bytes) {
  TRY(sink_.write(bytes));
  progress_.at(progress_.done() + bytes.size());
  return {};
}

Result<std::size_t> WatchedFile::read_at(ByteCount offset, MutableByteSpan buffer) {
  progress_.at(offset); // what came before has been taken
  return file_.read_at(offset, buffer);
}

} // namespace pkc::cli
