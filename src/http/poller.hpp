// Poller: the epoll instance that all workers wait on.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace pkc::http {

/// Tells one worker about each event: a descriptor that has fired is disarmed until arm() is called
/// again, so its object belongs to the worker that got the event. Thread-safe.
class Poller {
 public:
  enum class Wake : std::uint8_t {
    on_input,
    on_output,
    at_once, ///< also when there is nothing to read, as long as something can be written
  };

  static Result<Poller> make();

  /// Registers `fd` and arms it. `tag` comes back with its events and is not null.
  Result<void> add(int fd, void* tag);
  /// Arms it again. Closing the descriptor removes it.
  Result<void> arm(int fd, void* tag, Wake wake);

  /// Blocks until events come and puts the tags of at most tags.size() of them into `tags`; returns
  /// how many. Nothing when `timeout` passed first; 0 after interrupt().
  std::optional<std::size_t> wait(std::span<void*> tags, std::chrono::milliseconds timeout);
  /// Makes every present and future wait() return at once.
  void interrupt();

 private:
  Poller(UniqueFd epoll, UniqueFd interrupt)
      : epoll_(std::move(epoll)), interrupt_(std::move(interrupt)) {}

  UniqueFd epoll_;
  UniqueFd interrupt_; ///< an eventfd that is written once and never read
};

} // namespace pkc::http
