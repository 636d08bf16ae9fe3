#include "artifact_check.hpp"

#include <algorithm>
#include <limits>

namespace pkc::protocols::polykit {

namespace {

/// Smaller windows are not counted: what a connection takes anyway is of that size.
constexpr ByteCount kSmallWindow = 128 * kKiB;

class Place {
 public:
  explicit Place(std::counting_semaphore<>& places) : places_(places) { places_.acquire(); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  Place(Place&&) = delete;
  Place& operator=(Place&&) = delete;
  ~Place() { places_.release(); }

 private:
  std::counting_semaphore<>& places_;
};

} // namespace

CheckRoom::CheckRoom(ByteCount windows_max, std::size_t late_max)
    : arriving_({.idle_total_max = windows_max,
                 .unbudgeted_window_max = kSmallWindow,
                 .window_budget = windows_max}),
      // The places bound it.
      late_({.idle_max = late_max, .window_budget = std::numeric_limits<ByteCount>::max()}),
      late_places_(static_cast<std::ptrdiff_t>(std::max<std::size_t>(late_max, 1))) {}

ArtifactCheck::ArtifactCheck(CheckRoom& room, std::string_view key, ArtifactLimits limits)
    : room_(room), key_(key), limits_(limits) {
  arriving_.emplace(key_, room_.arriving_, limits_);
}

Result<void> ArtifactCheck::write(ByteSpan bytes) {
  if (!arriving_) {
    return {};
  }
  auto written = arriving_->write(bytes);
  if (!written && written.error().code == Errc::unavailable) {
    arriving_.reset();
    return {};
  }
  return written;
}

Result<ArtifactFacts> ArtifactCheck::finish(store::ObjectWriter& stored) {
  if (arriving_) {
    return arriving_->finish();
  }
  const Place place(room_.late_places_);
  ArtifactVerifier verifier(key_, room_.late_, limits_);
  TRY(stored.replay(verifier));
  return verifier.finish();
}

} // namespace pkc::protocols::polykit
