#include "poller.hpp"

#include "ready_list.hpp"

#include "pkc/base/assert.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace pkc::http {

namespace {

std::uint32_t events_of(Poller::Wake wake) {
  switch (wake) {
    case Poller::Wake::on_input:
      return EPOLLIN;
    case Poller::Wake::on_output:
      return EPOLLOUT;
    case Poller::Wake::at_once:
      return EPOLLIN | EPOLLOUT;
  }
  std::unreachable();
}

} // namespace

Result<Poller> Poller::make() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) {
    return fail_errno(errno, "epoll_create1");
  }
  UniqueFd interrupt(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!interrupt) {
    return fail_errno(errno, "eventfd");
  }
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, interrupt.get(), &event) != 0) {
    return fail_errno(errno, "epoll_ctl");
  }
  return Poller(std::move(epoll), std::move(interrupt));
}

Result<void> Poller::add(int fd, void* tag) {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.ptr = tag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return fail_errno(errno, "epoll_ctl");
  }
  return {};
}

Result<void> Poller::arm(int fd, void* tag, Wake wake) {
  epoll_event event{.events = events_of(wake) | EPOLLONESHOT, .data = {.ptr = tag}};
  // Another worker may get the event and close `fd` before this call returns. The kernel has looked
  // the number up by then, so that is sound; but ThreadSanitizer's wrapper of epoll_ctl() cannot
  // know and reports it, hence the bare system call.
  if (::syscall(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return fail_errno(errno, "epoll_ctl");
  }
  return {};
}

std::optional<std::size_t> Poller::wait(std::span<void*> tags, std::chrono::milliseconds timeout) {
  std::array<epoll_event, ReadyList::kCapacity>
      events; // NOLINT(*-member-init): only read where set
  const int most = static_cast<int>(std::min(tags.size(), events.size()));
  const int count =
      ::epoll_wait(epoll_.get(), events.data(), most, static_cast<int>(timeout.count()));
  if (count <= 0) {
    const bool harmless = count == 0 || errno == EINTR;
    PKC_ASSERT(harmless);
    return std::nullopt;
  }
  std::size_t taken = 0;
  for (const epoll_event& event : std::span(events).first(static_cast<std::size_t>(count))) {
    if (event.data.ptr != nullptr) { // null: the interrupt
      tags[taken++] = event.data.ptr;
    }
  }
  return taken;
}

void Poller::interrupt() {
  const int status = ::eventfd_write(interrupt_.get(), 1);
  PKC_ASSERT(status == 0);
}

} // namespace pkc::http
