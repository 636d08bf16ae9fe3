#include "warm_file.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/number.hpp"
#include "pkc/base/random.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/net/retry.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace pkc::app {

namespace {

using Outcome = WarmedFile::Outcome;

constexpr int kOk = 200;
constexpr int kForbidden = 403;
constexpr int kTooMany = 429;
constexpr int kUnavailable = 503;

/// A server that asks for more patience than the ceiling is not asked again in this run.
constexpr net::RetryOptions kRetries{.base = std::chrono::milliseconds{500},
                                     .ceiling = std::chrono::minutes{5}};

/// Without randomness the pauses are the longest there are.
std::uint64_t random_bits() {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  return fill_random(bytes) ? std::bit_cast<std::uint64_t>(bytes) : ~std::uint64_t{0};
}

/// Percent-encodes what may not stand in the value of a parameter; "/" and ":" may.
std::string encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kPlain = "-._~/:";
  std::string result;
  for (const char c : text) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alphanumeric || kPlain.contains(c)) {
      result += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      result.append(1, '%').append(1, kHex[byte >> 4U]).append(1, kHex[byte & 0xFU]);
    }
  }
  return result;
}

std::string header_of(const net::SessionAnswer& answer, std::string_view name) {
  return std::string(answer.headers.get(name).value_or(""));
}

bool is_hit(const net::SessionAnswer& answer) {
  return header_of(answer, "X-Cache-Status") == "HIT";
}

/// Whether other files would be answered in the same way: not let in, sent elsewhere, or no /fetch
/// there, which answers 404 to HEAD only.
bool concerns_all(const net::SessionAnswer& answer) {
  constexpr std::string_view kOneHost = R"({"error":"forbidden_upstream")";
  constexpr std::array<int, 4> kStatuses = {401, 404, 405, 407};
  if (answer.status == kForbidden) {
    return !answer.body.starts_with(kOneHost);
  }
  return std::ranges::find(kStatuses, answer.status) != kStatuses.end() || answer.status / 100 == 3;
}

} // namespace

/// Counts and hashes, and keeps nothing.
class FileWarmer::Discard final : public ByteSink {
 public:
  explicit Discard(std::atomic<ByteCount>& received) : received_(received) {}

  void begin() {
    size_ = 0;
    hasher_.finish();
  }
  Result<void> write(ByteSpan bytes) override {
    hasher_.update(bytes);
    size_ += bytes.size();
    received_.fetch_add(bytes.size(), std::memory_order_relaxed);
    return {};
  }
  [[nodiscard]] ByteCount size() const { return size_; }
  std::string sha256() { return hasher_.finish().hex(); }

 private:
  std::atomic<ByteCount>& received_;
  Sha256Hasher hasher_;
  ByteCount size_ = 0;
};

std::string fetch_target(const config::ManifestFile& file, Refresh refresh) {
  std::string target = "/fetch?url=" + encoded(file.url);
  for (const Checksum& checksum : file.checksums) {
    target.append("&").append(to_string(checksum.algorithm)).append("=").append(checksum.hex);
  }
  return refresh == Refresh::yes ? target + "&refresh=1" : target;
}

FileWarmer::FileWarmer(net::Session& session,
                       const WarmOptions& options,
                       std::atomic<ByteCount>& received,
                       Pause pause)
    : session_(session), options_(options), received_(received), pause_(std::move(pause)) {}

WarmedFile FileWarmer::warm(const config::ManifestFile& file) {
  hopeless_ = false;
  const std::string target = fetch_target(file, options_.refresh);
  if (options_.refresh == Refresh::no) {
    if (auto known = look(target)) {
      return *std::move(known);
    }
  }
  return download(target);
}

/// Nothing: the server does not have it, or something is wrong that the answer to GET explains; an
/// answer to HEAD has no words.
std::optional<WarmedFile> FileWarmer::look(const std::string& target) {
  Discard nothing(received_);
  const auto answer = ask("HEAD", target, nothing);
  if (!answer) {
    return failed(answer.error());
  }
  if (answer->status != kOk || !is_hit(*answer)) {
    return std::nullopt;
  }
  WarmedFile file;
  file.outcome = Outcome::present;
  file.size = parse_number<ByteCount>(header_of(*answer, "Content-Length")).value_or(0);
  file.sha256 = header_of(*answer, "X-Content-SHA256");
  file.status = answer->status;
  return file;
}

WarmedFile FileWarmer::download(const std::string& target) {
  Discard sink(received_);
  auto answer = ask("GET", target, sink);
  if (!answer) {
    return failed(answer.error());
  }
  if (answer->status != kOk) {
    return refused(*std::move(answer));
  }
  WarmedFile file{.outcome = is_hit(*answer) ? Outcome::present : Outcome::downloaded,
                  .size = sink.size(),
                  .sha256 = sink.sha256(),
                  .status = answer->status,
                  .answer = {},
                  .reason = {}};
  if (header_of(*answer, "X-Cache-Status").empty()) {
    file.outcome = Outcome::failed;
    file.reason = "what answers there is no server of ours, or something in between took its place";
    hopeless_ = true;
  } else if (const std::string told = header_of(*answer, "X-Content-SHA256");
             !told.empty() && told != file.sha256) {
    file.outcome = Outcome::failed;
    file.reason = "what came has the SHA-256 " + file.sha256 + ", and the server says " + told;
  }
  return file;
}

WarmedFile FileWarmer::failed(const Error& error) {
  hopeless_ = error.code == Errc::unavailable;
  WarmedFile file;
  file.outcome = Outcome::failed;
  file.reason = error.message;
  return file;
}

WarmedFile FileWarmer::refused(net::SessionAnswer answer) {
  hopeless_ = concerns_all(answer);
  WarmedFile file;
  file.outcome = Outcome::failed;
  file.status = answer.status;
  file.answer = std::move(answer.body);
  return file;
}

Result<net::SessionAnswer> FileWarmer::ask(const std::string& method,
                                           const std::string& target,
                                           Discard& sink) {
  for (unsigned attempt = 0;; ++attempt) {
    sink.begin();
    auto answer = session_.ask(method, target, sink);
    const auto delay = delay_before_next(answer, attempt);
    if (!delay || !pause_(*delay)) {
      return answer;
    }
  }
}

std::optional<std::chrono::milliseconds> FileWarmer::delay_before_next(
    const Result<net::SessionAnswer>& answer, unsigned attempt) const {
  const bool may_pass = answer ? answer->status == kTooMany || answer->status == kUnavailable
                               : answer.error().code == Errc::unavailable;
  if (!may_pass || attempt >= options_.retries_max) {
    return std::nullopt;
  }
  const auto retry_after =
      answer ? net::parse_retry_after(header_of(*answer, "Retry-After"), system_clock().wall_now())
             : std::nullopt;
  if (retry_after > kRetries.ceiling) {
    return std::nullopt;
  }
  return net::retry_delay(attempt, kRetries, retry_after, random_bits);
}

} // namespace pkc::app
