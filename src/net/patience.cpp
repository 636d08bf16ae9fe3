#include "patience.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <string>
#include <utility>
#include <vector>

namespace pkc::net {

namespace {

/// For poll(): rounded up, so that nobody wakes up too early and asks again and again.
int milliseconds_until(SteadyTime time, SteadyTime now) {
  if (time <= now) {
    return 0;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - now).count();
  return static_cast<int>(std::min<decltype(left)>(left, INT_MAX));
}

} // namespace

Patience::Patience(SteadyTime deadline, std::stop_token stop)
    : deadline_(deadline), stop_(std::move(stop)) {
  if (!stop_.stop_possible()) {
    return;
  }
  alarm_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  callback_.emplace(stop_, [fd = alarm_.get()] { ::eventfd_write(fd, 1); });
}

Result<void> Patience::check() const {
  if (stop_.stop_requested()) {
    return fail(Errc::unavailable, "stopped");
  }
  if (system_clock().steady_now() >= deadline_) {
    return fail(Errc::timeout, "the deadline passed");
  }
  return {};
}

SteadyTime Patience::in(std::chrono::milliseconds span) const {
  const SteadyTime now = system_clock().steady_now();
  return deadline_ - now < span ? deadline_ : now + span;
}

Result<bool> Patience::wait(std::span<const pollfd> sockets, SteadyTime until) const {
  std::vector<pollfd> waited(sockets.begin(), sockets.end());
  if (callback_) {
    if (!alarm_) { // no descriptor was left for it
      return fail(Errc::io, "cannot wait: too many open files");
    }
    waited.push_back({.fd = alarm_.get(), .events = POLLIN, .revents = 0});
  }
  const auto sockets_end = waited.begin() + static_cast<std::ptrdiff_t>(sockets.size());
  const auto has_event = [](const pollfd& one) { return one.revents != 0; };
  bool ready = false;
  for (bool late = false; !ready && !late;) {
    TRY(check());
    const SteadyTime now = system_clock().steady_now();
    const int limit = milliseconds_until(std::min(until, deadline_), now);
    const int polled = ::poll(waited.data(), waited.size(), limit);
    const int error_number = errno;
    if (polled < 0 && error_number != EINTR) {
      return fail_errno(error_number, "poll");
    }
    ready = polled > 0 && std::any_of(waited.begin(), sockets_end, has_event);
    late = polled == 0 && system_clock().steady_now() >= until;
  }
  TRY(check());
  return ready;
}

Result<void> Patience::wait_for(int socket,
                                short events,
                                SteadyTime until,
                                std::string_view what) const {
  const pollfd one{.fd = socket, .events = events, .revents = 0};
  TRY_ASSIGN(const bool ready, wait({&one, 1}, until));
  return ready ? Result<void>{} : fail(Errc::timeout, std::string(what));
}

} // namespace pkc::net
