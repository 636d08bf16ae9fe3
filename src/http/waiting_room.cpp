#include "waiting_room.hpp"

#include "pkc/base/assert.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>
#include <utility>

namespace pkc::http {

namespace {

/// The bell's number among those of waits, which begin with 1.
constexpr std::uint64_t kBell = 0;
constexpr std::size_t kSignalsAtOnce = 32;

std::uint32_t events_of(WaitingRoom::Watch watch) {
  switch (watch) {
    case WaitingRoom::Watch::reset:
      return 0; // EPOLLERR and EPOLLHUP come unasked
    case WaitingRoom::Watch::hang_up:
      return EPOLLRDHUP;
    case WaitingRoom::Watch::input:
      return EPOLLIN;
    case WaitingRoom::Watch::output:
      return EPOLLOUT;
  }
  std::unreachable();
}

} // namespace

WaitingRoom::Seat::~Seat() {
  if (room_ != nullptr) {
    room_->close(number_);
  }
}

Wake WaitingRoom::Seat::wake() const {
  PKC_ASSERT(room_ != nullptr);
  return [room = room_->weak_from_this(), number = number_] {
    if (const auto there = room.lock()) {
      there->wake(number);
    }
  };
}

Result<void> WaitingRoom::Seat::wait(int socket, Watch watch, SteadyTime deadline) {
  PKC_ASSERT(room_ != nullptr);
  // Copies, as whoever takes the connection may end this seat.
  WaitingRoom& room = *room_;
  const std::uint64_t number = number_;
  TRY(room.watch(socket, number, watch));
  const auto book = room.book_.lock();
  Wait& wait = book->waits.at(number);
  wait.deadline = deadline;
  wait.state = State::waiting;
  if (wait.woken || wait.signalled || book->ended) { // meanwhile
    room.make_ready(*book, number, wait);
  }
  return {};
}

Result<std::shared_ptr<WaitingRoom>> WaitingRoom::make() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return fail_errno(errno, "epoll_create1");
  }
  UniqueFd bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) {
    return fail_errno(errno, "eventfd");
  }
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kBell}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, bell.get(), &event) != 0) {
    return fail_errno(errno, "epoll_ctl");
  }
  return std::shared_ptr<WaitingRoom>(new WaitingRoom(std::move(epoll), std::move(bell)));
}

WaitingRoom::Seat WaitingRoom::open(Connection& connection) {
  const auto book = book_.lock();
  const std::uint64_t number = ++book->last_number;
  book->waits.emplace(number, Wait{.connection = &connection});
  return {*this, number};
}

void WaitingRoom::close(std::uint64_t number) {
  book_.lock()->waits.erase(number);
}

void WaitingRoom::wake(std::uint64_t number) {
  const auto book = book_.lock();
  const auto found = book->waits.find(number);
  if (found == book->waits.end()) {
    return;
  }
  found->second.woken = true;
  if (found->second.state == State::waiting) {
    make_ready(*book, number, found->second);
  }
}

/// A socket stays registered after its first wait here, disarmed by the event that ended it or
/// still armed for a number that means nobody any more.
Result<void> WaitingRoom::watch(int socket, std::uint64_t number, Watch watch) const {
  epoll_event event{.events = events_of(watch) | EPOLLONESHOT, .data = {.u64 = number}};
  int status = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, socket, &event);
  int error_number = errno;
  if (status != 0 && error_number == ENOENT) {
    status = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, socket, &event);
    error_number = errno;
  }
  return status == 0 ? Result<void>{} : fail_errno(error_number, "epoll_ctl");
}

/// REQUIRES: the book is locked. The bell is rung under the lock, which does not block, so that it
/// always says whether somebody is ready.
void WaitingRoom::make_ready(Book& book, std::uint64_t number, Wait& wait) const {
  wait.state = State::ready;
  book.ready.push_back(number);
  if (book.ready.size() == 1) {
    const int status = ::eventfd_write(bell_.get(), 1);
    PKC_ASSERT(status == 0);
  }
}

void WaitingRoom::collect_signals() {
  std::array<epoll_event, kSignalsAtOnce> events; // NOLINT(*-member-init): only read where set
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  if (count <= 0) {
    return; // interrupted, at worst: what has come stays
  }
  const auto book = book_.lock();
  for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(count))) {
    const auto found = book->waits.find(event.data.u64);
    if (found == book->waits.end()) {
      continue; // the bell, or of a wait that is over
    }
    found->second.signalled = true;
    if (found->second.state == State::waiting) {
      make_ready(*book, found->first, found->second);
    }
  }
}

std::optional<WaitingRoom::Turn> WaitingRoom::take() {
  collect_signals();
  const auto book = book_.lock();
  if (book->ready.empty()) {
    return std::nullopt;
  }
  const std::uint64_t number = book->ready.front();
  book->ready.pop_front();
  if (book->ready.empty()) {
    eventfd_t rings = 0;
    const int status = ::eventfd_read(bell_.get(), &rings);
    PKC_ASSERT(status == 0);
  }
  // Nobody but its owner gives a seat back, and this one is ours.
  Wait& wait = book->waits.at(number);
  const Turn turn{.connection = wait.connection,
                  .woken = wait.woken,
                  .expired = !wait.signalled && !wait.woken};
  wait.state = State::owned;
  wait.signalled = false;
  return turn;
}

void WaitingRoom::end() {
  const auto book = book_.lock();
  book->ended = true;
  for (auto& [number, wait] : book->waits) {
    if (wait.state == State::waiting) {
      make_ready(*book, number, wait);
    }
  }
}

bool WaitingRoom::expire_due(SteadyTime now, SteadyTime soon) {
  bool busy = false;
  const auto book = book_.lock();
  for (auto& [number, wait] : book->waits) {
    if (wait.state != State::waiting) {
      continue;
    }
    busy |= wait.deadline < soon;
    if (wait.deadline <= now) {
      make_ready(*book, number, wait);
    }
  }
  return busy;
}

} // namespace pkc::http
