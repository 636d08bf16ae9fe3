#include "client_counts.hpp"

#include "client_address.hpp"

#include "pkc/base/assert.hpp"

#include <utility>

namespace pkc::http {

bool ClientCounts::try_add(std::string_view address, std::size_t max) {
  std::string client = limited_client(address);
  const auto counts = counts_.lock();
  const auto found = counts->find(client);
  if (found != counts->end()) {
    const bool free = found->second < max;
    found->second += free ? 1 : 0;
    return free;
  }
  if (max == 0) {
    return false;
  }
  counts->emplace(std::move(client), 1);
  return true;
}

void ClientCounts::remove(std::string_view address) {
  const std::string client = limited_client(address);
  const auto counts = counts_.lock();
  const auto found = counts->find(client);
  PKC_ASSERT(found != counts->end());
  if (--found->second == 0) {
    counts->erase(found);
  }
}

std::size_t ClientCounts::size() {
  return counts_.lock()->size();
}

} // namespace pkc::http
