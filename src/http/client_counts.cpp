#include "client_counts.hpp"

#include "pkc/base/assert.hpp"

namespace pkc::http {

bool ClientCounts::try_add(std::string_view address, std::size_t max) {
  const auto counts = counts_.lock();
  const auto found = counts->find(address);
  if (found != counts->end()) {
    const bool free = found->second < max;
    found->second += free ? 1 : 0;
    return free;
  }
  if (max == 0) {
    return false;
  }
  counts->emplace(address, 1);
  return true;
}

void ClientCounts::remove(std::string_view address) {
  const auto counts = counts_.lock();
  const auto found = counts->find(address);
  PKC_ASSERT(found != counts->end());
  if (--found->second == 0) {
    counts->erase(found);
  }
}

std::size_t ClientCounts::size() {
  return counts_.lock()->size();
}

} // namespace pkc::http
