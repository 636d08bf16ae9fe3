// Download: one body on its way, shared by the thread that fetches it and all who wait for it.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/upstream/downloads.hpp"

#include <memory>
#include <optional>
#include <stop_token>
#include <unordered_set>
#include <vector>

namespace pkc::upstream {

/// Thread-safe. Calls no wake under its lock.
class Download : public std::enable_shared_from_this<Download> {
 public:
  Download(DownloadRequest request, const Clock& clock, std::chrono::milliseconds background)
      : request_(std::move(request)), clock_(clock), background_(background) {}

  [[nodiscard]] const DownloadRequest& request() const { return request_; }

  // The side of those who wait.

  /// Null when it is over, or given up because nobody waited: another one has to begin.
  std::shared_ptr<Waiter> add(std::vector<Checksum> wanted);

  // The side of the one thread that fetches.

  /// The body begins.
  void answered(OriginAnswer answer, std::shared_ptr<store::GrowingContent> content);
  /// The body begins again, in another place. False when somebody has seen some of it, or was told
  /// another length: then it must not.
  bool begin_again(const OriginAnswer& answer, std::shared_ptr<store::GrowingContent> content);
  /// More of it can be read.
  void grew();
  /// Takes no more wishes, and returns those there are: a set for each who waits.
  std::vector<std::vector<Checksum>> seal();
  void finish(Phase phase, Arrived arrived); ///< stored or unwanted
  void fail(Failure failure);
  /// REQUIRES: finish() was called.
  [[nodiscard]] ByteCount arrived_size() { return state_.lock()->arrived.size; }

  /// For everything that the thread waits for.
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }
  void stop() { stop_.request_stop(); }
  /// Nobody has waited for it for too long. Nobody can join it any more, then.
  [[nodiscard]] bool abandoned();

 private:
  class Seat;

  enum class Event : std::uint8_t {
    none,
    answered,
    over,
    ready,
  };
  struct State {
    Phase phase = Phase::asking;
    bool sealed = false;   ///< all that comes now comes late
    bool given_up = false; ///< nobody waits, and nobody may come any more
    bool seen = false;     ///< by somebody: some of the body
    std::shared_ptr<const OriginAnswer> answer;
    std::shared_ptr<store::GrowingContent> content;
    Arrived arrived;
    Failure failure;
    std::unordered_set<Seat*> seats;
    std::optional<SteadyTime> alone_since;

    [[nodiscard]] bool over() const { return phase > Phase::arriving; }
    /// How much of the body may be read.
    [[nodiscard]] ByteCount ready() const;
  };

  void leave(Seat& seat);
  void wait(Seat& seat, Event event, ByteCount offset, Wake wake);
  static bool has_happened(const State& state, const Seat& seat);
  /// Takes the wakes that are due out of their seats.
  static std::vector<Wake> due(State& state);

  const DownloadRequest request_;
  const Clock& clock_;
  const std::chrono::milliseconds background_;
  std::stop_source stop_;
  Guarded<State> state_;
};

} // namespace pkc::upstream
