#include "fetching.hpp"

#include "pkc/base/random.hpp"
#include "pkc/net/retry.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

namespace pkc::upstream {

namespace {

/// Somebody waits for the answer: what takes longer than this is tried again by the client.
constexpr net::RetryOptions kRetries{.base = std::chrono::milliseconds(250),
                                     .ceiling = std::chrono::milliseconds(5'000)};

/// Without randomness the pauses are the longest there are.
std::uint64_t random_bits() {
  std::array<std::byte, sizeof(std::uint64_t)> bytes{};
  return fill_random(bytes) ? std::bit_cast<std::uint64_t>(bytes) : ~std::uint64_t{0};
}

/// All that has arrived of a body.
class ArrivedSource final : public ByteSource {
 public:
  explicit ArrivedSource(const store::GrowingContent& content) : content_(content) {}

  Result<std::size_t> read(MutableByteSpan buffer) override {
    if (offset_ == content_.size()) {
      return 0;
    }
    const store::Piece piece = content_.piece(offset_);
    const std::size_t wanted = std::min<ByteCount>(piece.length, buffer.size());
    TRY_ASSIGN(const std::size_t count,
               piece.file->read_at(piece.file_offset, buffer.first(wanted)));
    if (count != wanted) {
      return fail(Errc::io, "what has arrived is cut short");
    }
    offset_ += count;
    return count;
  }

 private:
  const store::GrowingContent& content_;
  ByteCount offset_ = 0;
};

/// One download while it is fetched. One thread at a time.
class Fetching {
 public:
  Fetching(const Fetchers& fetchers, Download& download)
      : fetchers_(fetchers),
        download_(download),
        sink_(fetchers, download),
        deadline_(fetchers.parts.clock.steady_now() + fetchers.options.timeout) {}

  std::optional<Failure> run(const Closing& closing);

 private:
  struct Attempt {
    std::optional<Failure> failure;
    bool transient = false;
  };

  std::optional<Failure> receive();
  Attempt attempt();
  [[nodiscard]] net::FetchRequest request();
  [[nodiscard]] static Attempt explain(const Error& error);
  bool rest(unsigned attempts, const Failure& failure);
  std::optional<Failure> complete(const Closing& closing);
  Result<std::vector<Checksum>> checksums(const std::vector<std::vector<Checksum>>& wishes,
                                          const Sha256& digest);
  Result<Checksum> checksum(ChecksumAlgorithm algorithm, const Sha256& digest);
  std::optional<Failure> store(Arrived arrived);

  const Fetchers& fetchers_;
  Download& download_;
  BodySink sink_;
  const SteadyTime deadline_;
};

Failure internal_failure(const Error& error) {
  return {.kind = error.code == Errc::no_space ? Failure::Kind::no_space : Failure::Kind::internal,
          .message = error.message};
}

net::FetchRequest Fetching::request() {
  net::FetchRequest request{.url = download_.request().url,
                            .headers = {},
                            .deadline = deadline_,
                            .stop = download_.stop_token()};
  const auto rest = sink_.resume_point();
  if (!rest) {
    sink_.expect_whole();
    return request;
  }
  sink_.expect_rest();
  request.headers.set("Range", "bytes=" + std::to_string(rest->offset) + '-');
  request.headers.set("If-Range", rest->validator);
  return request;
}

Fetching::Attempt Fetching::explain(const Error& error) {
  const auto explained = [&](Failure::Kind kind, bool transient) {
    return Attempt{Failure{.kind = kind, .message = error.message}, transient};
  };
  switch (error.code) {
    case Errc::unauthorized:
      return explained(Failure::Kind::forbidden, false);
    case Errc::unavailable:
    case Errc::timeout:
      return explained(Failure::Kind::unavailable, true);
    case Errc::invalid_argument:
    case Errc::too_large:
    case Errc::conflict:
    case Errc::corrupt:
      return explained(Failure::Kind::refused, false);
    case Errc::no_space:
    case Errc::io:
      return explained(Failure::Kind::internal, false);
  }
  std::unreachable();
}

Fetching::Attempt Fetching::attempt() {
  sink_.clear_failure();
  const auto fetched = fetchers_.parts.client.fetch(request(), sink_);
  if (sink_.failure()) {
    return {sink_.failure(), sink_.transient()};
  }
  if (!fetched) {
    return explain(fetched.error());
  }
  if (!sink_.is_whole()) { // a rest that was shorter than it said
    return {
        Failure{.kind = Failure::Kind::unavailable, .message = "the origin sent less than it said"},
        true};
  }
  return {};
}

/// Waits before the next attempt. False when there is no time for one.
bool Fetching::rest(unsigned attempts, const Failure& failure) {
  if (failure.retry_after > kRetries.ceiling) {
    return false;
  }
  const auto delay = net::retry_delay(attempts, kRetries, failure.retry_after, random_bits);
  if (fetchers_.parts.clock.steady_now() + delay >= deadline_) {
    return false;
  }
  const std::stop_token stop = download_.stop_token();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, delay, [] { return false; });
  return !stop.stop_requested() && !download_.abandoned();
}

/// Until the whole body is there.
std::optional<Failure> Fetching::receive() {
  for (unsigned attempts = 0;; ++attempts) {
    const Attempt made = attempt();
    if (!made.failure) {
      return std::nullopt;
    }
    if (!made.transient || attempts >= fetchers_.options.retries_max ||
        !rest(attempts, *made.failure)) {
      return made.failure;
    }
    fetchers_.parts.log.debug("download is tried again",
                              {{"source_url", download_.request().url.text()},
                               {"attempt", attempts + 1},
                               {"reason", made.failure->message}});
  }
}

/// Of what has arrived. Only the SHA-256 is known already.
Result<Checksum> Fetching::checksum(ChecksumAlgorithm algorithm, const Sha256& digest) {
  if (algorithm == ChecksumAlgorithm::sha256) {
    return Checksum{algorithm, digest.hex()};
  }
  ArrivedSource source(*sink_.content());
  return checksum_of(source, algorithm);
}

/// All values that somebody asked for.
Result<std::vector<Checksum>> Fetching::checksums(const std::vector<std::vector<Checksum>>& wishes,
                                                  const Sha256& digest) {
  std::vector<Checksum> found;
  for (const ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    const bool asked = std::ranges::any_of(wishes, [&](const auto& wish) {
      return std::ranges::find(wish, algorithm, &Checksum::algorithm) != wish.end();
    });
    if (asked) {
      TRY_ASSIGN(auto value, checksum(algorithm, digest));
      found.push_back(std::move(value));
    }
  }
  return found;
}

std::optional<Failure> Fetching::store(Arrived arrived) {
  const auto committed = sink_.writer().commit(
      {.content_type = std::string(sink_.answer().headers.get("Content-Type").value_or(""))});
  if (!committed) {
    return internal_failure(committed.error());
  }
  if (download_.request().publish) {
    if (const auto published = download_.request().publish(sink_.answer(), arrived); !published) {
      return internal_failure(published.error());
    }
  }
  download_.finish(Phase::stored, std::move(arrived));
  return std::nullopt;
}

std::optional<Failure> Fetching::complete(const Closing& closing) {
  const auto digest = sink_.writer().finish();
  if (!digest) {
    return internal_failure(digest.error());
  }
  const auto wishes = download_.seal();
  Arrived arrived{.digest = *digest, .size = sink_.writer().size(), .checksums = {}};
  auto found = checksums(wishes, *digest);
  if (!found) {
    return internal_failure(found.error());
  }
  arrived.checksums = *std::move(found);
  // Nobody is left: it was fetched for whoever comes next.
  const bool wanted = wishes.empty() || std::ranges::any_of(wishes, [&](const auto& wish) {
                        return !find_mismatch(wish, arrived.checksums);
                      });
  if (!wanted) {
    closing();
    download_.finish(Phase::unwanted, std::move(arrived));
    return std::nullopt;
  }
  return store(std::move(arrived));
}

std::optional<Failure> Fetching::run(const Closing& closing) {
  auto failure = receive();
  if (!failure) {
    failure = complete(closing);
  }
  return failure;
}

} // namespace

std::optional<Failure> fetch(const Fetchers& fetchers, Download& download, const Closing& closing) {
  return Fetching(fetchers, download).run(closing);
}

} // namespace pkc::upstream
