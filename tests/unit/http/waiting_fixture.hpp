// What the tests of answers that wait share: somebody who keeps clients waiting.
#pragma once

#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/http/server.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pkc::http::test {

/// Counts itself, as the capture of a handler that wants to know who still waits.
class Token {
 public:
  explicit Token(std::atomic<int>& count) : count_(count) { ++count_; }
  Token(const Token&) = delete;
  Token& operator=(const Token&) = delete;
  Token(Token&&) = delete;
  Token& operator=(Token&&) = delete;
  ~Token() { --count_; }

 private:
  std::atomic<int>& count_;
};

/// Makes handlers' answers wait until it wakes them. Thread-safe.
class Promise {
 public:
  /// An answer that comes after its wake.
  Response defer(std::move_only_function<Response()> answer) {
    return deferred([this](Wake wake) { add(std::move(wake)); }, std::move(answer));
  }
  /// The same with another subscription.
  Response deferred(std::move_only_function<void(Wake)> subscribe,
                    std::move_only_function<Response()> answer) {
    Response response;
    response.body = Deferred{std::move(subscribe),
                             [token = std::make_unique<Token>(waiting_),
                              answer = std::move(answer)]() mutable { return answer(); }};
    return response;
  }

  /// Answers that were promised and neither made nor given up.
  [[nodiscard]] int waiting() const { return waiting_; }
  [[nodiscard]] std::size_t subscribed() {
    const std::lock_guard lock(mutex_);
    return wakes_.size();
  }
  /// REQUIRES: subscribed() > number.
  void wake(std::size_t number) {
    Wake wake;
    {
      const std::lock_guard lock(mutex_);
      wake = wakes_.at(number);
    }
    wake();
  }

 private:
  void add(Wake wake) {
    const std::lock_guard lock(mutex_);
    wakes_.push_back(std::move(wake));
  }

  std::atomic<int> waiting_ = 0;
  std::mutex mutex_;
  std::vector<Wake> wakes_; ///< in the order of their subscriptions
};

/// Text in which every offset shows.
inline std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  }
  return text;
}

/// A file that cannot be sent with sendfile.
class UndescribedFile final : public File {
 public:
  explicit UndescribedFile(std::shared_ptr<File> file) : file_(std::move(file)) {}
  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override {
    return file_->read_at(offset, buffer);
  }
  Result<void> write(ByteSpan /*bytes*/) override { return fail(Errc::io, "read only"); }
  void begin_sync() override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] FileStat opened_stat() const override { return file_->opened_stat(); }
  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  std::shared_ptr<File> file_;
};

/// A file, of which more and more is shown. Thread-safe.
class GrowingSource final : public PieceSource {
 public:
  explicit GrowingSource(std::shared_ptr<File> file, ByteCount piece_max = ~ByteCount{0})
      : file_(std::move(file)), piece_max_(piece_max) {}

  Result<FilePiece> piece(ByteCount offset, ByteCount length_max) override {
    const std::lock_guard lock(mutex_);
    ++asked_;
    if (offset < size_) {
      return FilePiece{.file = file_,
                       .offset = offset,
                       .length = std::min({size_ - offset, length_max, piece_max_})};
    }
    if (broken_) {
      return fail(Errc::unavailable, "as scripted");
    }
    return FilePiece{.file = nullptr, .ended = ended_};
  }
  void when_ready(ByteCount offset, Wake wake) override {
    {
      const std::lock_guard lock(mutex_);
      ++waits_;
      if (offset >= size_ && !ended_ && !broken_) {
        wakes_.push_back(std::move(wake));
        return;
      }
    }
    wake();
  }

  void grow_to(ByteCount size) {
    change([&] { size_ = size; });
  }
  void end() {
    change([&] { ended_ = true; });
  }
  void fail_now() {
    change([&] { broken_ = true; });
  }
  /// Answers that wait for more, gone ones included.
  [[nodiscard]] std::size_t waiting() {
    const std::lock_guard lock(mutex_);
    return wakes_.size();
  }
  /// Waits so far.
  [[nodiscard]] int waits() {
    const std::lock_guard lock(mutex_);
    return waits_;
  }
  [[nodiscard]] int asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  template <typename Change>
  void change(const Change& apply) {
    std::vector<Wake> wakes;
    {
      const std::lock_guard lock(mutex_);
      apply();
      wakes.swap(wakes_);
    }
    for (const Wake& wake : wakes) {
      wake();
    }
  }

  const std::shared_ptr<File> file_;
  const ByteCount piece_max_;
  std::mutex mutex_;
  ByteCount size_ = 0;
  bool ended_ = false;
  bool broken_ = false;
  int waits_ = 0;
  int asked_ = 0;
  std::vector<Wake> wakes_;
};

/// A file of `size` pattern bytes and its GrowingSource.
class Growing {
 public:
  explicit Growing(std::size_t size, ByteCount piece_max = ~ByteCount{0}) : text_(pattern(size)) {
    std::ofstream(directory_ / "f", std::ios::binary) << text_;
    file_ = posix_file_system().open(directory_ / "f").value();
    source_ = std::make_shared<GrowingSource>(file_, piece_max);
  }

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::shared_ptr<File>& file() const { return file_; }
  GrowingSource* operator->() const { return source_.get(); }
  /// Answers and others that hold the source, this one not counted.
  [[nodiscard]] long holders() const { return source_.use_count() - 1; }

  [[nodiscard]] Response answer(std::optional<ByteCount> length, ByteCount offset = 0) const {
    Response response;
    response.body = PiecesBody{.source = source_, .offset = offset, .length = length};
    return response;
  }
  /// GET /known, /unknown and, at once, /.
  [[nodiscard]] Router router() const {
    Router router;
    router.add(
        {Method::get, "/", RouteAccess::open(), [](Request&) { return text_response("hello"); }});
    router.add({Method::get, "/known", RouteAccess::open(), [this](Request&) {
                  return answer(text_.size());
                }});
    router.add({Method::get, "/unknown", RouteAccess::open(), [this](Request&) {
                  return answer(std::nullopt);
                }});
    return router;
  }

 private:
  pkc::test::TempDir directory_;
  const std::string text_;
  std::shared_ptr<File> file_;
  std::shared_ptr<GrowingSource> source_;
};

inline std::string get(std::string_view path, std::string_view version = "1.1") {
  return "GET " + std::string(path) + " HTTP/" + std::string(version) + "\r\nHost: x\r\n\r\n";
}

/// The access log of one test. Thread-safe.
class Records {
 public:
  struct Record {
    std::string target;
    int status;
    ByteCount bytes_sent;
    bool aborted;
    std::string failure;
    std::chrono::microseconds duration;
  };
  [[nodiscard]] AccessLog log() {
    return [this](const AccessRecord& record) {
      const std::lock_guard lock(mutex_);
      records_.push_back({std::string(record.target),
                          record.status,
                          record.bytes_sent,
                          record.aborted,
                          std::string(record.failure),
                          record.duration});
    };
  }
  [[nodiscard]] std::vector<Record> all() {
    const std::lock_guard lock(mutex_);
    return records_;
  }
  /// The only record there is, as soon as there is one.
  [[nodiscard]] std::optional<Record> only() {
    return eventually([this] { return !all().empty(); }) && all().size() == 1
               ? std::optional(all().front())
               : std::nullopt;
  }

 private:
  std::mutex mutex_;
  std::vector<Record> records_;
};

} // namespace pkc::http::test
