#include "connection_table.hpp"

#include "cut_off.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <utility>

namespace pkc::http {

namespace {

void wake(const Connection& connection) {
  // Only the reading side of one that waits for a head: a 408 still has to get out.
  if (connection.phase.load(std::memory_order_relaxed) == Phase::reading_head) {
    connection.socket.shutdown_read();
  } else {
    connection.socket.shutdown();
  }
}

} // namespace

Connection& ConnectionTable::add(std::unique_ptr<Connection> connection) {
  Connection& added = *connection;
  const auto connections = connections_.lock();
  added.slot = connections->size();
  connections->push_back(std::move(connection));
  size_.store(connections->size(), std::memory_order_relaxed);
  return added;
}

void ConnectionTable::remove(Connection& connection) {
  std::unique_ptr<Connection> removed; // closed after the lock is gone
  {
    const auto connections = connections_.lock();
    const std::size_t slot = connection.slot;
    PKC_ASSERT((*connections)[slot].get() == &connection);
    std::swap((*connections)[slot], connections->back());
    (*connections)[slot]->slot = slot;
    removed = std::move(connections->back());
    connections->pop_back();
    size_.store(connections->size(), std::memory_order_relaxed);
    if (connections->empty()) {
      changed_.notify_all();
    }
  }
}

ConnectionTable::Census ConnectionTable::count() {
  const auto connections = connections_.lock();
  Census census{.all = connections->size()};
  for (const auto& connection : *connections) {
    const Phase phase = connection->phase.load(std::memory_order_relaxed);
    if (connection->is_owned()) {
      ++census.active;
      census.waiting += phase == Phase::waiting ? 1U : 0U;
    } else if (phase == Phase::handshaking) {
      ++census.handshaking;
    } else if (phase == Phase::lingering) {
      ++census.lingering;
    }
  }
  return census;
}

void ConnectionTable::expire_due(SteadyTime now) {
  // shutdown() under the lock is what keeps the descriptor alive; it does not block.
  const auto connections = connections_.lock();
  for (const auto& connection : *connections) {
    if (connection->expire_if_due(now)) {
      wake(*connection);
    }
  }
}

void ConnectionTable::expire_waiting(SteadyTime now, const Patience& patience) {
  const auto connections = connections_.lock();
  for (const auto& connection : *connections) {
    const SteadyTime until = connection->answered.load(std::memory_order_relaxed)
                                 ? patience.next_request
                                 : patience.first_request;
    if (now >= until && connection->phase.load(std::memory_order_relaxed) != Phase::lingering &&
        connection->expire_if_due(SteadyTime::max())) {
      wake(*connection);
    }
  }
}

std::size_t ConnectionTable::cut_off(CutOff& cut_off) {
  const auto connections = connections_.lock(); // nobody leaves uncounted
  cut_off.set(); // before the sockets are shut down, on which then no answer can begin any more
  std::size_t served = 0;
  for (const auto& connection : *connections) {
    if (connection->is_owned()) {
      ++served;
    } else { // the housekeeper finds who is given up at this moment
      connection->socket.shutdown();
    }
  }
  return served;
}

bool ConnectionTable::wait_until_empty(SteadyTime deadline) {
  auto connections = connections_.lock();
  return changed_.wait_until(connections.lock(), deadline, [&] { return connections->empty(); });
}

void ConnectionTable::wait_until_empty() {
  auto connections = connections_.lock();
  changed_.wait(connections.lock(), [&] { return connections->empty(); });
}

} // namespace pkc::http
