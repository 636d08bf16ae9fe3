// CutOff: the end of all patience with clients.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"

#include <atomic>
#include <memory>
#include <utility>

namespace pkc::http {

/// A switch that ends every transfer of a server without a word to the client. Shutting the sockets
/// down would not do: that sends FIN, which a client takes for the end of a body whose length it
/// does not know. This way whoever serves a connection finds its transfer failed and resets it.
/// Thread-safe.
class CutOff {
 public:
  /// Errors: io.
  static Result<std::unique_ptr<CutOff>> make();

  /// There is no way back.
  void set();
  [[nodiscard]] bool is_set() const { return set_.load(std::memory_order_acquire); }
  /// Readable from set() on, for poll().
  [[nodiscard]] int descriptor() const { return event_.get(); }

 private:
  explicit CutOff(UniqueFd event) : event_(std::move(event)) {}

  UniqueFd event_; ///< an eventfd
  std::atomic<bool> set_ = false;
};

} // namespace pkc::http
