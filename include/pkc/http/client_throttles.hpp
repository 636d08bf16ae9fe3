// ClientThrottles: how fast the bytes for one client may go.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/guarded.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>

namespace pkc::http {

class Throttle;

/// Throttles for Response::throttle, one for each IPv4 address and each IPv6 network of 64 bits, as
/// whoever has one address of it has all of them. It keeps those that are in use and, so
/// that a client cannot have a fresh one by asking again, up to some thousand others. Thread-safe.
class ClientThrottles {
 public:
  /// In bytes per second; 0: no limit.
  explicit ClientThrottles(ByteCount rate) : rate_(rate) {}

  /// All answers to the client at `address` share it, and it may outlive this. Null without a
  /// limit.
  [[nodiscard]] std::shared_ptr<Throttle> of(const std::string& address);

  /// How many are kept.
  [[nodiscard]] std::size_t size() { return state_.lock()->by_client.size(); }
  /// So many are kept that nobody uses, at most.
  static constexpr std::size_t kUnusedMax = 4096;

 private:
  struct State {
    std::unordered_map<std::string, std::shared_ptr<Throttle>> by_client;
    std::size_t sweep_at = kUnusedMax;
  };

  const ByteCount rate_;
  Guarded<State> state_;
};

} // namespace pkc::http
