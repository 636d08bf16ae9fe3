#include "connection_pool.hpp"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

namespace pkc::net {

void ConnectionPool::retire(Idles& idles, Idles& retired) const {
  const SteadyTime now = system_clock().steady_now();
  while (!idles.empty() && now - idles.front().since >= limits_.age_max) {
    retired.splice(retired.end(), idles, idles.begin());
  }
}

std::unique_ptr<Connection> ConnectionPool::take(const std::string& key) {
  for (;;) {
    Idles retired; // closed when the lock is gone
    std::unique_ptr<Connection> connection;
    {
      const auto idles = idles_.lock();
      retire(*idles, retired);
      const auto newest = std::find_if(
          idles->rbegin(), idles->rend(), [&](const Idle& idle) { return idle.key == key; });
      if (newest == idles->rend()) {
        return nullptr;
      }
      connection = std::move(newest->connection);
      idles->erase(std::prev(newest.base()));
    }
    if (connection->is_quiet()) {
      return connection;
    }
  }
}

void ConnectionPool::put(const std::string& key, std::unique_ptr<Connection> connection) {
  Idles retired; // closed when the lock is gone
  const auto idles = idles_.lock();
  retire(*idles, retired);
  idles->push_back(
      {.key = key, .since = system_clock().steady_now(), .connection = std::move(connection)});
  const auto has_key = [&](const Idle& idle) { return idle.key == key; };
  if (static_cast<std::size_t>(std::ranges::count_if(*idles, has_key)) > limits_.per_key_max) {
    retired.splice(retired.end(), *idles, std::ranges::find_if(*idles, has_key));
  }
  if (idles->size() > limits_.all_max) {
    retired.splice(retired.end(), *idles, idles->begin());
  }
}

} // namespace pkc::net
