// Warming: has a running server download what a manifest names.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/config/manifest.hpp"
#include "pkc/config/settings.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pkc::app {

/// What to do about what the server has already.
enum class Refresh : std::uint8_t {
  no,
  yes ///< downloads it anew
};

struct WarmOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string url{}; ///< of the server, as parse_origin() takes it; empty: the one on this machine
  std::string token{}; ///< may be empty
  // NOLINTEND(readability-redundant-member-init)
  std::size_t jobs = 4;     ///< files at once
  unsigned retries_max = 3; ///< of a request that found the server overloaded or not there
  std::chrono::milliseconds timeout{3'600'000}; ///< of one request
  Refresh refresh = Refresh::no;
};

/// What became of one file.
struct WarmedFile {
  enum class Outcome : std::uint8_t {
    not_done, ///< not asked for, or broken off by a signal
    present,  ///< was there already
    downloaded,
    failed,
  };
  Outcome outcome = Outcome::not_done;
  ByteCount size = 0;
  std::string sha256; ///< empty: the server did not tell
  int status = 0;     ///< of the answer that decided; 0: there was none
  std::string answer; ///< its body when it failed, mostly JSON
  std::string reason; ///< why it failed, when it is no answer of the server that says so
};

struct WarmProgress {
  std::size_t present = 0;
  std::size_t downloaded = 0;
  std::size_t failed = 0;
  ByteCount bytes = 0; ///< received, of unfinished files too
};

/// Hears how it goes. Called by the thread that called warm().
class WarmObserver {
 public:
  virtual ~WarmObserver() = default;
  virtual void progress(const WarmProgress& progress) = 0;
  /// SIGINT, SIGTERM or SIGHUP has come; perhaps not the first.
  virtual void interrupted(int signal) = 0;
};

struct WarmReport {
  std::vector<WarmedFile> files; ///< in the order in which they were named
  /// The first file whose failure is one of all: the server is not there, is none of ours, or does
  /// not let us. No more were asked for.
  std::optional<std::size_t> given_up_at;
  int signal = 0; ///< the first that came; 0: none
};

/// Asks the server for each file with GET /fetch, so that it downloads what it does not have, and
/// throws the bytes away. What it has (HEAD says so, with the checksums) is not asked for again, so
/// a run that was broken off goes on where it was. What comes is compared with the length and the
/// SHA-256 that the server names. Answers 429 and 503 are asked for again, not before Retry-After.
/// Blocks until all is done or a signal comes; the process ignores SIGPIPE, and SIGINT, SIGTERM and
/// SIGHUP stay blocked in it. Errors, all for people: invalid_argument for a URL that is none, or
/// settings that do not tell where the server listens; io.
Result<WarmReport> warm(const config::Settings& settings,
                        std::span<const config::ManifestFile> files,
                        const WarmOptions& options,
                        WarmObserver& observer);

} // namespace pkc::app
