// Downloads: one fetch per key, any number of waiters, into the content-addressed store.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/checksum.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/url.hpp"
#include "pkc/net/http_client.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/content_addressed_store.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace pkc::upstream {

/// Why a download came to nothing.
struct Failure {
  enum class Kind : std::uint8_t {
    forbidden,   ///< the rules refuse a host or an address on the way
    refused,     ///< the origin answered, but not with the content: `status`
    unavailable, ///< no whole answer came
    too_large,
    no_space, ///< of ours
    internal, ///< our own failure
  };
  Kind kind = Kind::internal;
  int status = 0; ///< of the origin; 0: its answer was of no use whatever its status
  // NOLINTNEXTLINE(readability-redundant-member-init): as below
  std::string message{}; ///< what happened, without secrets; may name addresses
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::optional<std::chrono::seconds> retry_after{}; ///< that the origin asked for

  friend bool operator==(const Failure&, const Failure&) = default;
};

/// What the origin said before the body.
struct OriginAnswer {
  HttpHeaders headers;
  Url url;                         ///< after redirects
  std::optional<ByteCount> length; ///< of the body
};

/// A body that came whole.
struct Arrived {
  Sha256 digest;
  ByteCount size = 0;
  std::vector<Checksum> checksums; ///< those that somebody asked for
};

enum class Phase : std::uint8_t {
  asking,   ///< the origin has not answered yet
  arriving, ///< answer() is known, and pieces come
  stored,   ///< arrived() is in the store, and what the target did with it is done
  unwanted, ///< it arrived whole, but with other checksums than those of all who wait: not stored
  failed,   ///< failure() says why; nothing is stored
};

using Wake = std::function<void()>;

/// One who waits for a download; others may wait for the same. Destruction leaves: the last one
/// lets it stop. Thread-safe, and outlives the Downloads if need be.
///
/// The last piece, up to kHeldBack bytes, can be read only once all of the body is stored, so who
/// sends pieces while they arrive never ends a body cleanly that is not whole.
class Waiter {
 public:
  static constexpr ByteCount kHeldBack = 64 * kKiB;

  virtual ~Waiter() = default;

  [[nodiscard]] virtual Phase phase() const = 0;
  /// Null while asking, and when it failed before.
  [[nodiscard]] virtual std::shared_ptr<const OriginAnswer> answer() const = 0;
  /// REQUIRES: stored or unwanted.
  [[nodiscard]] virtual Arrived arrived() const = 0;
  /// It came when it was being decided whether anybody wants these bytes, and had no say in that:
  /// where they are unwanted, another download has to be joined.
  [[nodiscard]] virtual bool came_late() const = 0;
  /// REQUIRES: failed.
  [[nodiscard]] virtual Failure failure() const = 0;

  /// Where bytes of the body lie from `offset` on. Nothing: they are not there yet, or (when the
  /// phase is stored) there are none. Errors: unavailable, when it failed.
  [[nodiscard]] virtual Result<std::optional<store::Piece>> piece(ByteCount offset) = 0;

  // Each calls `wake` once, at once when it is so already; on any thread, which must not be
  // blocked. A `wake` that is not called any more is destroyed with the last waiter.
  virtual void when_answered(Wake wake) = 0;                ///< no longer asking
  virtual void when_over(Wake wake) = 0;                    ///< stored, unwanted or failed
  virtual void when_ready(ByteCount offset, Wake wake) = 0; ///< piece(offset) says something new
};

/// What is asked for.
struct DownloadRequest {
  std::string key; ///< those of one key share one download, whatever else they ask for
  Url url;
  ByteCount size_max = ~ByteCount{0};
  /// Known failures of the key do not count.
  bool ask_again = false;
  /// Called once by the download's thread before the origin is asked: what is in the store by now,
  /// which whoever joined did not see, because a download of the same key ended in between. May be
  /// empty. Not called when `ask_again`.
  std::function<std::optional<Arrived>()> stored;
  /// Called once by the download's thread when the body is in the store, before anybody is told;
  /// its failure is that of the download. Only the first waiter's counts.
  std::function<Result<void>(const OriginAnswer&, const Arrived&)> publish;
};

/// What an origin says of a body that was downloaded before.
enum class Checked : std::uint8_t {
  same,
  changed,
  unknown, ///< it cannot be asked now, or does not tell
};

struct CheckRequest {
  std::string key;
  Url url;
  std::string etag; ///< that came with the body; empty: none did
  std::string last_modified;
  std::function<void(Checked)> done; ///< called once, by another thread, or never
};

struct DownloadOptions {
  std::size_t active_max = 64;   ///< at once, each with a thread
  std::size_t queued_max = 1000; ///< that wait for one of those; more are refused
  unsigned retries_max = 3;
  std::chrono::milliseconds timeout{600'000};       ///< of a whole download, retries included
  std::chrono::milliseconds background{60'000};     ///< how long one goes on that nobody waits for
  std::chrono::milliseconds absent_ttl{60'000};     ///< how long 404 and 410 are remembered; 0: not
  std::size_t absent_max = 10'000;                  ///< such answers
  std::chrono::milliseconds check_interval{60'000}; ///< between two checks of one key
  ByteCount rate = 0; ///< bytes per second of all downloads together; 0: any
  ByteCount rate_per_origin = 0;
};

/// What downloads act on; all of it outlives them.
struct DownloadParts {
  net::HttpClient& client;
  store::ContentAddressedStore& store;
  const Clock& clock;
  ops::Log& log;
  ops::Metrics& metrics;
};

/// Thread-safe. Destruction stops all downloads, which fail, and waits for their threads.
///
/// Transient failures (no connection, an early end, 429 and most 5xx) are tried again with growing
/// pauses. A body that broke off goes on where it was (RFC 9110 section 14.2) when the origin gave
/// a strong validator, or else from the start when nobody has seen any of it.
class Downloads {
 public:
  virtual ~Downloads() = default;

  /// Joins the download of the key, or begins it. `wanted`: the body is of no use to this waiter
  /// unless it has all of these. Does not block. Errors: unavailable when too many wait already.
  virtual Result<std::shared_ptr<Waiter>> join(DownloadRequest request,
                                               std::vector<Checksum> wanted) = 0;

  /// Asks the origin in the background whether a body is still what it was. Nothing happens when
  /// that was asked a moment ago, and when there is much to do. Does not block.
  virtual void check(CheckRequest request) = 0;
};

std::unique_ptr<Downloads> make_downloads(DownloadParts parts, DownloadOptions options);

} // namespace pkc::upstream
