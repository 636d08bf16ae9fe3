// Log: leveled key=value lines for the operator, and the access log.
#pragma once

#include "pkc/base/result.hpp"

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

namespace pkc::ops {

/// error: the operator must act; warn: degraded; info: life cycle and access; debug: one line per
/// interesting event.
enum class LogLevel {
  trace,
  debug,
  info,
  warn,
  error
};

/// "trace", "debug", "info", "warn", "error"; nothing for any other text.
std::optional<LogLevel> parse_log_level(std::string_view text);

/// One key=value pair of a call to Log::write(), during which the text lives. The value is quoted
/// and escaped when it is printed if it needs to be.
class Field {
 public:
  std::string_view key;

  Field(std::string_view field_key, std::string_view text) : key(field_key), text_(text) {}
  Field(std::string_view field_key, std::integral auto number) : key(field_key) {
    char* const end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
    digit_count_ = static_cast<std::size_t>(end - digits_.data());
  }
  [[nodiscard]] std::string_view value() const {
    return digit_count_ > 0 ? std::string_view(digits_.data(), digit_count_) : text_;
  }

 private:
  std::string_view text_;
  std::array<char, 20> digits_{}; // room for every 64-bit number with its sign
  std::size_t digit_count_ = 0;
};

/// Where log lines go. Thread-safe. Never blocks on anything but the output itself and never fails
/// visibly.
class Log {
 public:
  virtual ~Log() = default;

  [[nodiscard]] virtual bool enabled(LogLevel level) const = 0;
  /// One line: time, level, message, then the fields. Control bytes are escaped, so no input can
  /// forge a line.
  virtual void write(LogLevel level,
                     std::string_view message,
                     std::initializer_list<Field> fields) = 0;
  /// Pushes what is buffered to the output.
  virtual void flush() = 0;

  void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(LogLevel::info, message, fields);
  }
  void warn(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(LogLevel::warn, message, fields);
  }
  void error(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(LogLevel::error, message, fields);
  }
};

/// A log on standard output that drops lines below `level`.
std::unique_ptr<Log> make_stdout_log(LogLevel level);

/// A log that drops everything, for tests.
Log& null_log();

} // namespace pkc::ops
