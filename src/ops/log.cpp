#include "pkc/ops/log.hpp"

#include "descriptor_log.hpp"
#include "descriptor_sink.hpp"
#include "log_line.hpp"

#include <spdlog/logger.h>

#include <unistd.h>

#include <array>
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

class DescriptorLog : public Log {
 public:
  DescriptorLog(LogLevel level, int descriptor)
      : logger_("polykit-cache", std::make_shared<DescriptorSink>(descriptor)) {
    logger_.set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %v", spdlog::pattern_time_type::utc);
    logger_.set_level(to_spdlog(level));
    logger_.flush_on(spdlog::level::warn);
    // The default handler prints to stderr through state that all loggers of the process share.
    logger_.set_error_handler([](const std::string&) {});
  }

  [[nodiscard]] bool enabled(LogLevel level) const override {
    return logger_.should_log(to_spdlog(level));
  }

  void write(LogLevel level,
             std::string_view message,
             std::initializer_list<Field> fields) override {
    if (enabled(level)) {
      logger_.log(to_spdlog(level), spdlog::string_view_t(format_log_line(level, message, fields)));
    }
  }

  void flush() override { logger_.flush(); }

 private:
  spdlog::logger logger_;
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

std::unique_ptr<Log> make_descriptor_log(LogLevel level, int descriptor) {
  return std::make_unique<DescriptorLog>(level, descriptor);
}

std::unique_ptr<Log> make_stdout_log(LogLevel level) {
  return make_descriptor_log(level, STDOUT_FILENO);
}

Log& null_log() {
  static NullLog log; // has no state
  return log;
}

} // namespace pkc::ops
