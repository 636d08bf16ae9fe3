#include "pkc/http/client_throttles.hpp"

#include "client_address.hpp"
#include "throttle.hpp"

#include <utility>

namespace pkc::http {

std::shared_ptr<Throttle> ClientThrottles::of(const std::string& address) {
  if (rate_ == 0) {
    return nullptr;
  }
  std::string client = limited_client(address);
  const auto state = state_.lock();
  auto& by_client = state->by_client;
  if (const auto found = by_client.find(client); found != by_client.end()) {
    return found->second;
  }
  if (by_client.size() >= state->sweep_at) {
    std::erase_if(by_client, [](const auto& entry) { return entry.second.use_count() == 1; });
    // Those in use are as many as connections: not looked through again for each new one.
    state->sweep_at = by_client.size() + kUnusedMax;
  }
  auto throttle = std::make_shared<Throttle>();
  throttle->set_rate(rate_);
  by_client.emplace(std::move(client), throttle);
  return throttle;
}

} // namespace pkc::http
