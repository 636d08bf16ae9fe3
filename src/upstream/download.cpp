#include "download.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <utility>

namespace pkc::upstream {

/// The place of one who waits. Its members belong to the lock of the download.
class Download::Seat final : public Waiter {
 public:
  Seat(std::shared_ptr<Download> download, std::vector<Checksum> wishes, bool late)
      : wanted(std::move(wishes)), download_(std::move(download)), late_(late) {}
  Seat(const Seat&) = delete;
  Seat& operator=(const Seat&) = delete;
  Seat(Seat&&) = delete;
  Seat& operator=(Seat&&) = delete;
  ~Seat() override { download_->leave(*this); }

  [[nodiscard]] Phase phase() const override { return download_->state_.lock()->phase; }
  [[nodiscard]] std::shared_ptr<const OriginAnswer> answer() const override {
    return download_->state_.lock()->answer;
  }
  [[nodiscard]] Arrived arrived() const override {
    const auto state = download_->state_.lock();
    PKC_ASSERT(state->phase == Phase::stored || state->phase == Phase::unwanted);
    return state->arrived;
  }
  [[nodiscard]] bool came_late() const override { return late_; }
  [[nodiscard]] Failure failure() const override {
    const auto state = download_->state_.lock();
    PKC_ASSERT(state->phase == Phase::failed);
    return state->failure;
  }
  [[nodiscard]] Result<std::optional<store::Piece>> piece(ByteCount offset) override;
  void when_answered(Wake wake) override {
    download_->wait(*this, Event::answered, 0, std::move(wake));
  }
  void when_over(Wake wake) override { download_->wait(*this, Event::over, 0, std::move(wake)); }
  void when_ready(ByteCount offset, Wake wake) override {
    download_->wait(*this, Event::ready, offset, std::move(wake));
  }

  const std::vector<Checksum> wanted;
  Event awaited = Event::none;
  ByteCount awaited_offset = 0; ///< of Event::ready
  Wake call;

 private:
  const std::shared_ptr<Download> download_;
  const bool late_;
};

ByteCount Download::State::ready() const {
  if (phase == Phase::stored) {
    return arrived.size;
  }
  if (phase != Phase::arriving) {
    return 0;
  }
  const ByteCount come = content->size();
  const ByteCount whole = answer->length.value_or(come);
  return std::min(come, whole - std::min(whole, Waiter::kHeldBack));
}

Result<std::optional<store::Piece>> Download::Seat::piece(ByteCount from) {
  std::shared_ptr<store::GrowingContent> content;
  ByteCount ready = 0;
  {
    const auto state = download_->state_.lock();
    if (state->phase == Phase::failed || state->phase == Phase::unwanted) {
      return pkc::fail(Errc::unavailable, "the download failed: " + state->failure.message);
    }
    ready = state->ready();
    if (from >= ready) {
      return std::nullopt;
    }
    state->seen = true;
    content = state->content;
  }
  store::Piece piece = content->piece(from);
  piece.length = std::min(piece.length, ready - from);
  return piece;
}

std::shared_ptr<Waiter> Download::add(std::vector<Checksum> wanted) {
  const auto state = state_.lock();
  if (state->given_up || state->over()) {
    return nullptr;
  }
  auto seat = std::make_shared<Seat>(shared_from_this(), std::move(wanted), state->sealed);
  state->seats.insert(seat.get());
  state->alone_since.reset();
  return seat;
}

void Download::leave(Seat& seat) {
  bool stops = false;
  {
    const auto state = state_.lock();
    if (state->seats.erase(&seat) > 0 && state->seats.empty()) {
      state->alone_since = clock_.steady_now();
      stops = background_.count() == 0 && !state->sealed;
      state->given_up = stops;
    }
  }
  if (stops) {
    stop();
  }
}

bool Download::abandoned() {
  const auto state = state_.lock();
  if (!state->sealed && state->alone_since &&
      clock_.steady_now() - *state->alone_since >= background_) {
    state->given_up = true;
  }
  return state->given_up;
}

bool Download::has_happened(const State& state, const Seat& seat) {
  switch (seat.awaited) {
    case Event::none:
      return false;
    case Event::answered:
      return state.phase != Phase::asking;
    case Event::over:
      return state.over();
    case Event::ready:
      return state.over() || state.ready() > seat.awaited_offset;
  }
  std::unreachable();
}

void Download::wait(Seat& seat, Event event, ByteCount offset, Wake wake) {
  {
    const auto state = state_.lock();
    seat.awaited = event;
    seat.awaited_offset = offset;
    if (!has_happened(*state, seat)) {
      seat.call = std::move(wake);
      return;
    }
    seat.awaited = Event::none;
  }
  wake();
}

std::vector<Wake> Download::due(State& state) {
  std::vector<Wake> wakes;
  for (Seat* const seat : state.seats) {
    if (has_happened(state, *seat)) {
      seat->awaited = Event::none;
      wakes.push_back(std::exchange(seat->call, nullptr));
    }
  }
  return wakes;
}

namespace {
void call_all(const std::vector<Wake>& wakes) {
  for (const Wake& wake : wakes) {
    wake();
  }
}
} // namespace

void Download::answered(OriginAnswer answer, std::shared_ptr<store::GrowingContent> content) {
  std::vector<Wake> wakes;
  {
    const auto state = state_.lock();
    PKC_ASSERT(state->phase == Phase::asking);
    state->phase = Phase::arriving;
    state->answer = std::make_shared<const OriginAnswer>(std::move(answer));
    state->content = std::move(content);
    wakes = due(*state);
  }
  call_all(wakes);
}

bool Download::begin_again(const OriginAnswer& answer,
                           std::shared_ptr<store::GrowingContent> content) {
  const auto state = state_.lock();
  PKC_ASSERT(state->phase == Phase::arriving);
  if (state->seen || state->answer->length != answer.length) {
    return false;
  }
  state->content = std::move(content);
  return true;
}

void Download::grew() {
  std::vector<Wake> wakes;
  {
    const auto state = state_.lock();
    wakes = due(*state);
  }
  call_all(wakes);
}

std::vector<std::vector<Checksum>> Download::seal() {
  const auto state = state_.lock();
  state->sealed = true;
  std::vector<std::vector<Checksum>> wishes;
  for (const Seat* const seat : state->seats) {
    wishes.push_back(seat->wanted);
  }
  return wishes;
}

void Download::finish(Phase phase, Arrived arrived) {
  PKC_ASSERT(phase == Phase::stored || phase == Phase::unwanted);
  std::vector<Wake> wakes;
  {
    const auto state = state_.lock();
    state->phase = phase;
    state->arrived = std::move(arrived);
    wakes = due(*state);
  }
  call_all(wakes);
}

void Download::fail(Failure failure) {
  std::vector<Wake> wakes;
  {
    const auto state = state_.lock();
    state->phase = Phase::failed;
    state->failure = std::move(failure);
    wakes = due(*state);
  }
  call_all(wakes);
}

} // namespace pkc::upstream
