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
#include <string>
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

enum class LogFormat {
  text, ///< key=value
  json  ///< one object a line
};

/// Whom the lines are for.
enum class LogReader {
  anybody,
  journal ///< of systemd: lines begin with their priority, as in "<4>", and text has no time, which
          ///< the journal notes itself (sd-daemon(3))
};

/// How lines look, and which are left out.
struct LogOptions {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  LogReader reader = LogReader::anybody;
};

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
    return is_number() ? std::string_view(digits_.data(), digit_count_) : text_;
  }
  [[nodiscard]] bool is_number() const { return digit_count_ > 0; }

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
  /// One line: time, level, message, the fields, and the request that this thread serves, if any.
  /// Control bytes are escaped, so no input can forge a line.
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

/// A log on standard output.
std::unique_ptr<Log> make_stdout_log(LogOptions options);
/// A log on standard error, for commands: their output is for whoever reads it.
std::unique_ptr<Log> make_stderr_log(LogOptions options);

/// What reads standard output: the journal when `journal_stream`, the value of JOURNAL_STREAM
/// (empty: not set), names it (systemd.exec(5)). A shell may have redirected the output since it
/// was set.
LogReader stdout_reader(std::string_view journal_stream);

/// A log in a file.
class FileLog : public Log {
 public:
  /// Goes on in what has the path by now, which is made when it is absent: for who moves the old
  /// file away. No line is lost; those written before are in the old file. On an error it goes on
  /// in the old file. Errors: io.
  virtual Result<void> reopen() = 0;
};

/// Appends to the file at `path`, made when absent, readable by owner and group. Errors: io.
Result<std::unique_ptr<FileLog>> make_file_log(LogOptions options, std::string path);

/// Names the request that this thread serves until its end: every line that the thread writes to
/// any Log has it as request_id. That way also those lines have it that are written far from
/// anything that knows of requests. Scopes of one thread nest.
class RequestScope {
 public:
  /// `id` outlives it.
  explicit RequestScope(std::string_view id);
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;
  RequestScope(RequestScope&&) = delete;
  RequestScope& operator=(RequestScope&&) = delete;
  ~RequestScope();

 private:
  std::string_view outer_;
};

/// The id of the innermost scope of this thread; empty without one.
[[nodiscard]] std::string_view request_id();

/// A log that drops everything, for tests.
Log& null_log();

} // namespace pkc::ops
