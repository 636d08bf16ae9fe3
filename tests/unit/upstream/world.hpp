// What the tests of downloads share: an origin that follows a script, and a download's whole world.
#pragma once

#include "support/fault_file_system.hpp"
#include "support/spaces_fixture.hpp"

#include "pkc/base/checksum.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/net/http_client.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/upstream/downloads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::test {

using net::FetchRequest;
using net::ResponseHead;
using net::ResponseSink;
using upstream::Arrived;
using upstream::DownloadOptions;
using upstream::DownloadRequest;
using upstream::Downloads;
using upstream::OriginAnswer;
using upstream::Phase;
using upstream::Waiter;

inline const std::string kUrl = "http://origin.example/file";

/// An origin that does what the test wrote down, a step for each request.
class ScriptedClient final : public net::HttpClient {
 public:
  using Step = std::function<Result<void>(const FetchRequest&, ResponseSink&)>;

  void then(Step step) { steps_.lock()->push_back(std::move(step)); }
  [[nodiscard]] std::size_t requests() { return requests_.lock()->size(); }
  [[nodiscard]] std::string header(std::size_t request, std::string_view name) {
    return std::string(requests_.lock()->at(request).headers.get(name).value_or(""));
  }

  Result<ResponseHead> fetch(const FetchRequest& request, ResponseSink& sink) override {
    requests_.lock()->push_back(request);
    Step step;
    {
      const auto steps = steps_.lock();
      REQUIRE_FALSE(steps->empty());
      step = std::move(steps->front());
      steps->pop_front();
    }
    TRY(step(request, sink));
    return ResponseHead{};
  }

 private:
  Guarded<std::deque<Step>> steps_;
  Guarded<std::vector<FetchRequest>> requests_;
};

inline ResponseHead make_head(
    int status,
    std::optional<ByteCount> length,
    const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  ResponseHead head{
      .status = status, .headers = {}, .url = parse_url(kUrl).value(), .content_length = length};
  for (const auto& [name, value] : headers) {
    head.headers.add(name, value);
  }
  return head;
}

inline ScriptedClient::Step gives(
    const std::string& body, const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  return [=](const FetchRequest&, ResponseSink& sink) -> Result<void> {
    TRY(sink.head(make_head(200, body.size(), headers)));
    return sink.write(as_bytes(body));
  };
}

inline ScriptedClient::Step answers(int status) {
  return [=](const FetchRequest&, ResponseSink& sink) -> Result<void> {
    return sink.head(make_head(status, 0));
  };
}

inline ScriptedClient::Step breaks(Errc code) {
  return [=](const FetchRequest&, ResponseSink&) -> Result<void> { return fail(code, "broken"); };
}

inline std::string noise(std::size_t size) {
  std::string text(size, '\0');
  std::uint64_t state = 88'172'645'463'325'252ULL;
  for (char& c : text) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    c = static_cast<char>(state);
  }
  return text;
}

struct World {
  explicit World(DownloadOptions options = {}) : fixture(disk, "/cache") {
    REQUIRE(fixture.start());
    downloads = upstream::make_downloads({.client = client,
                                          .store = fixture.cas(),
                                          .clock = system_clock(),
                                          .log = *log,
                                          .metrics = metrics},
                                         options);
  }

  std::shared_ptr<Waiter> join(std::vector<Checksum> wanted = {}, bool ask_again = false) {
    auto waiter = downloads->join(request(ask_again), std::move(wanted));
    REQUIRE(waiter);
    return *std::move(waiter);
  }

  DownloadRequest request(bool ask_again = false) {
    return {.key = kUrl,
            .url = parse_url(kUrl).value(),
            .ask_again = ask_again,
            .stored = nullptr,
            .publish = [this](const OriginAnswer&, const Arrived& arrived) -> Result<void> {
              published.lock()->push_back(arrived.digest.hex());
              return publish_fails ? Result<void>(fail(Errc::io, "no")) : Result<void>();
            }};
  }

  FaultFileSystem disk;
  SpacesFixture fixture;
  ops::Metrics metrics;
  std::unique_ptr<ops::Log> log = ops::make_stderr_log({.level = ops::LogLevel::error});
  ScriptedClient client;
  Guarded<std::vector<std::string>> published;
  std::atomic<bool> publish_fails = false;
  std::unique_ptr<Downloads> downloads;
};

inline void wait_until_over(Waiter& waiter) {
  std::binary_semaphore over(0);
  waiter.when_over([&] { over.release(); });
  over.acquire();
}

inline void wait_until_answered(Waiter& waiter) {
  std::binary_semaphore answered(0);
  waiter.when_answered([&] { answered.release(); });
  answered.acquire();
}

/// What one who waits gets, piece by piece; nothing when the transfer is broken.
inline std::optional<std::string> read_all(Waiter& waiter) {
  std::string body;
  while (true) {
    const bool stored = waiter.phase() == Phase::stored;
    const auto piece = waiter.piece(body.size());
    if (!piece) {
      return std::nullopt;
    }
    if (!*piece) {
      if (stored) {
        return body;
      }
      std::binary_semaphore ready(0);
      waiter.when_ready(body.size(), [&] { ready.release(); });
      ready.acquire();
      continue;
    }
    std::string bytes((*piece)->length, '\0');
    REQUIRE((*piece)->file->read_at((*piece)->file_offset,
                                    std::as_writable_bytes(std::span(bytes))) == bytes.size());
    body += bytes;
  }
}

inline Checksum sha256_of(const std::string& body) {
  return {ChecksumAlgorithm::sha256, sha256(as_bytes(body)).hex()};
}

} // namespace pkc::test
