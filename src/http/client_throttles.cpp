#include "pkc/http/client_throttles.hpp"

#include "throttle.hpp"

#include <algorithm>

namespace pkc::http {

std::shared_ptr<Throttle> ClientThrottles::of(const std::string& address) {
  if (rate_ == 0) {
    return nullptr;
  }
  const auto state = state_.lock();
  auto& by_address = state->by_address;
  if (const auto found = by_address.find(address); found != by_address.end()) {
    return found->second;
  }
  if (by_address.size() >= state->sweep_at) {
    std::erase_if(by_address, [](const auto& entry) { return entry.second.use_count() == 1; });
    // Those in use are as many as connections: not looked through again for each new one.
    state->sweep_at = by_address.size() + kUnusedMax;
  }
  auto throttle = std::make_shared<Throttle>();
  throttle->set_rate(rate_);
  by_address.emplace(address, throttle);
  return throttle;
}

} // namespace pkc::http
