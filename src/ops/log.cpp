#include "pkc/ops/log.hpp"

#include "descriptor_log.hpp"
#include "descriptor_sink.hpp"
#include "log_line.hpp"

#include "pkc/base/unique_handle.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <mutex>
#include <string>
#include <utility>

namespace pkc::ops {
namespace {

struct LevelName {
  std::string_view name;
  LogLevel level;
};

constexpr std::array kLevelNames = {LevelName{"trace", LogLevel::trace},
                                    LevelName{"debug", LogLevel::debug},
                                    LevelName{"info", LogLevel::info},
                                    LevelName{"warn", LogLevel::warn},
                                    LevelName{"error", LogLevel::error}};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::trace:
      return spdlog::level::trace;
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
      return spdlog::level::err;
  }
  std::unreachable();
}

/// The digit of syslog(3).
char priority_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
      return '3';
    case spdlog::level::warn:
      return '4';
    case spdlog::level::info:
      return '6';
    case spdlog::level::debug:
    case spdlog::level::trace:
    case spdlog::level::off:
    case spdlog::level::n_levels:
      return '7';
  }
  std::unreachable();
}

/// In a pattern: the priority of the line.
class PriorityFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message,
              const std::tm& /*time*/,
              spdlog::memory_buf_t& target) override {
    target.push_back(priority_of(message.level));
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PriorityFlag>();
  }
};

std::unique_ptr<spdlog::formatter> make_formatter(const LogOptions& options) {
  const bool journal = options.reader == LogReader::journal;
  std::string pattern = journal ? "<%*>" : "";
  if (options.format == LogFormat::json) {
    pattern += R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v)"; // who reads JSON expects the same fields
  } else {
    pattern += journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%eZ %v";
  }
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<PriorityFlag>('*').set_pattern(pattern);
  return formatter;
}

/// What the logs of this file have in common.
class Lines {
 public:
  Lines(const LogOptions& options, std::shared_ptr<DescriptorSink> sink)
      : format_(options.format), logger_("polykit-cache", std::move(sink)) {
    logger_.set_formatter(make_formatter(options));
    logger_.set_level(to_spdlog(options.level));
    logger_.flush_on(spdlog::level::warn);
    // The default handler prints to stderr through state that all loggers of the process share.
    logger_.set_error_handler([](const std::string&) {});
  }

  [[nodiscard]] bool enabled(LogLevel level) const { return logger_.should_log(to_spdlog(level)); }

  void write(LogLevel level, std::string_view message, std::initializer_list<Field> fields) {
    if (!enabled(level)) {
      return;
    }
    const std::string line = format_ == LogFormat::json
                                 ? format_json_log_line(level, message, fields, request_id())
                                 : format_log_line(level, message, fields, request_id());
    logger_.log(to_spdlog(level), spdlog::string_view_t(line));
  }

  void flush() { logger_.flush(); }

 private:
  LogFormat format_;
  spdlog::logger logger_;
};

class DescriptorLog : public Log {
 public:
  DescriptorLog(const LogOptions& options, int descriptor)
      : lines_(options, std::make_shared<DescriptorSink>(descriptor)) {}

  [[nodiscard]] bool enabled(LogLevel level) const override { return lines_.enabled(level); }
  void write(LogLevel level,
             std::string_view message,
             std::initializer_list<Field> fields) override {
    lines_.write(level, message, fields);
  }
  void flush() override { lines_.flush(); }

 private:
  Lines lines_;
};

Result<UniqueFd> open_log_file(const std::string& path) {
  constexpr mode_t kMode = 0640;
  // Appending, as a predecessor may still write to the same file.
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, kMode));
  if (!fd) {
    return fail_errno(errno, "open " + path);
  }
  return fd;
}

class PathLog final : public FileLog {
 public:
  PathLog(const LogOptions& options, std::string path, UniqueFd file)
      : path_(std::move(path)),
        file_(std::move(file)),
        sink_(std::make_shared<DescriptorSink>(file_.get())),
        lines_(options, sink_) {}

  [[nodiscard]] bool enabled(LogLevel level) const override { return lines_.enabled(level); }
  void write(LogLevel level,
             std::string_view message,
             std::initializer_list<Field> fields) override {
    lines_.write(level, message, fields);
  }
  void flush() override { lines_.flush(); }

  Result<void> reopen() override {
    TRY_ASSIGN(UniqueFd fresh, open_log_file(path_));
    const std::lock_guard lock(reopening_);
    sink_->redirect(fresh.get());
    file_ = std::move(fresh);
    return {};
  }

 private:
  const std::string path_;
  std::mutex reopening_;
  UniqueFd file_; ///< under reopening_; before the sink, which writes to it until its end
  std::shared_ptr<DescriptorSink> sink_;
  Lines lines_;
};

class NullLog : public Log {
 public:
  [[nodiscard]] bool enabled(LogLevel /*level*/) const override { return false; }
  void write(LogLevel /*level*/,
             std::string_view /*message*/,
             std::initializer_list<Field> /*fields*/) override {}
  void flush() override {}
};

} // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (const LevelName& row : kLevelNames) {
    if (text == row.name) {
      return row.level;
    }
  }
  return std::nullopt;
}

std::unique_ptr<Log> make_descriptor_log(LogOptions options, int descriptor) {
  return std::make_unique<DescriptorLog>(options, descriptor);
}

std::unique_ptr<Log> make_stdout_log(LogOptions options) {
  return make_descriptor_log(options, STDOUT_FILENO);
}

std::unique_ptr<Log> make_stderr_log(LogOptions options) {
  return make_descriptor_log(options, STDERR_FILENO);
}

LogReader stdout_reader(std::string_view journal_stream) {
  struct stat output{};
  if (::fstat(STDOUT_FILENO, &output) != 0) {
    return LogReader::anybody;
  }
  const std::string stream = std::to_string(output.st_dev) + ':' + std::to_string(output.st_ino);
  return journal_stream == stream ? LogReader::journal : LogReader::anybody;
}

Result<std::unique_ptr<FileLog>> make_file_log(LogOptions options, std::string path) {
  TRY_ASSIGN(UniqueFd file, open_log_file(path));
  return std::make_unique<PathLog>(options, std::move(path), std::move(file));
}

Log& null_log() {
  static NullLog log; // has no state
  return log;
}

} // namespace pkc::ops
