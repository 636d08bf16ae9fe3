#include "quota_file.hpp"

#include "pkc/base/bytes.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <span>
#include <utility>

namespace pkc::app {

namespace {

constexpr std::string_view kFirstLine = "polykit-cache token usage 1";
constexpr std::size_t kNameMax = 64;
/// More than the tokens of an auth file can need.
constexpr std::size_t kFileMax = 1 * kMiB;

std::unexpected<Error> malformed() {
  return fail(Errc::corrupt, "it is not of the form that this version writes");
}

/// The text up to `end`, which is taken off together with it; nothing when there is no `end`.
std::optional<std::string_view> take_until(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + 1);
  return taken;
}

std::string day_of(std::chrono::sys_days day) {
  return format_utc(day).substr(0, std::string_view("2026-01-01").size());
}

Result<http::QuotaUse> parse_line(std::string_view line) {
  const auto day = take_until(line, ' ');
  const auto name = day ? take_until(line, ' ') : std::nullopt;
  const auto time = day ? parse_utc(*day) : std::nullopt;
  if (!name || name->empty() || name->size() > kNameMax || !time ||
      day_of(floor<std::chrono::days>(*time)) != *day) {
    return malformed();
  }
  ByteCount written = 0;
  const char* const begin = line.data();
  const char* const end = begin + line.size();
  const auto [rest, error] = std::from_chars(begin, end, written);
  if (line.empty() || error != std::errc{} || rest != end) {
    return malformed();
  }
  return http::QuotaUse{.name = std::string(*name),
                        .day = std::chrono::floor<std::chrono::days>(*time),
                        .written = written};
}

} // namespace

std::string format_quota_uses(const std::vector<http::QuotaUse>& uses) {
  std::string text(kFirstLine);
  text += '\n';
  for (const http::QuotaUse& use : uses) {
    text.append(day_of(use.day)).append(" ").append(use.name).append(" ");
    text.append(std::to_string(use.written)).append("\n");
  }
  return text;
}

Result<std::vector<http::QuotaUse>> parse_quota_uses(std::string_view text) {
  if (take_until(text, '\n') != kFirstLine) {
    return malformed();
  }
  std::vector<http::QuotaUse> uses;
  while (!text.empty()) {
    const auto line = take_until(text, '\n');
    if (!line) {
      return malformed();
    }
    TRY_ASSIGN(http::QuotaUse use, parse_line(*line));
    uses.push_back(std::move(use));
  }
  return uses;
}

QuotaFile::QuotaFile(http::AccessControl& control,
                     FileSystem& file_system,
                     ops::Log& log,
                     QuotaFileOptions options)
    : control_(control),
      file_system_(file_system),
      log_(log),
      options_(std::move(options)),
      job_("token-usage", [this](const std::stop_token& stop) { run(stop); }) {}

Result<std::vector<http::QuotaUse>> QuotaFile::read() {
  TRY_ASSIGN(const auto file, file_system_.open(options_.path));
  if (!file) {
    return std::vector<http::QuotaUse>();
  }
  std::string text(kFileMax, '\0');
  TRY_ASSIGN(const std::size_t size, file->read_at(0, std::as_writable_bytes(std::span(text))));
  return parse_quota_uses(std::string_view(text).substr(0, size));
}

void QuotaFile::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, stop, options_.interval, [&] { return stop.stop_requested(); })) {
    sync();
  }
  sync();
}

void QuotaFile::sync() {
  const std::lock_guard lock(sync_mutex_);
  const auto kept = sync(state_);
  if (!kept && !state_.write_failed) {
    log_.warn("what tokens have used of their daily quotas cannot be kept",
              {{"reason", kept.error().message}});
  }
  state_.write_failed = !kept;
}

Result<void> QuotaFile::sync(State& state) {
  // Opened each time: what is closed is unlocked, whatever happens in between.
  TRY_ASSIGN(locks::LockFile between, locks::LockFile::open(options_.lock_path));
  TRY(between.lock(locks::LockFile::kBytes - 1, locks::LockFile::Mode::exclusive));
  const auto in_file = learn(state);
  std::vector<http::QuotaUse> uses = control_.quota_uses();
  if (uses == in_file) {
    return {};
  }
  TRY(write(uses, state.temp_number++));
  state.seen = std::move(uses);
  return {};
}

/// Adds what others have counted to our numbers. Returns what is in the file, if that can be known.
std::optional<std::vector<http::QuotaUse>> QuotaFile::learn(State& state) {
  auto in_file = read();
  if (!in_file) {
    if (!std::exchange(state.read_failed, true)) {
      log_.warn("what tokens have used of their daily quotas is not known; they begin anew",
                {{"file", options_.path}, {"reason", in_file.error().message}});
    }
    return std::nullopt;
  }
  state.read_failed = false;
  control_.add_quota_uses(state.seen, *in_file);
  // Who is not in the file, or has no token any more, is not forgotten: to see him again must not
  // count twice.
  for (const http::QuotaUse& use : *in_file) {
    const auto seen = std::ranges::find(state.seen, use.name, &http::QuotaUse::name);
    if (seen == state.seen.end()) {
      state.seen.push_back(use);
    } else {
      *seen = use;
    }
  }
  return *std::move(in_file);
}

Result<void> QuotaFile::write(const std::vector<http::QuotaUse>& uses, unsigned temp_number) {
  const std::string temp = options_.temp_stem + std::to_string(temp_number) + ".tmp";
  const auto replace = [&]() -> Result<void> {
    TRY_ASSIGN(const auto file, file_system_.create(temp));
    TRY(file->write(as_bytes(format_quota_uses(uses))));
    TRY(file->sync());
    return file_system_.rename(temp, options_.path);
  };
  auto replaced = replace();
  if (!replaced) {
    // Where even that fails, the next start sweeps it.
    [[maybe_unused]] const auto ignored = file_system_.remove(temp);
  }
  return replaced;
}

} // namespace pkc::app
