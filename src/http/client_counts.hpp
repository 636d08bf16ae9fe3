// ClientCounts: how many connections each client has.
#pragma once

#include "pkc/base/guarded.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pkc::http {

/// Counts connections by peer address, as limited_client() takes it. Touched once when a connection
/// comes and once when it goes, never for a request. Holds the clients that have a connection now
/// and no others, so it is as bounded as the connections are. Thread-safe.
class ClientCounts {
 public:
  /// False, and nothing is counted, when the client at `address` has `max` connections already.
  bool try_add(std::string_view address, std::size_t max);
  /// REQUIRES: a try_add() of the address that was true and has not been removed.
  void remove(std::string_view address);

  /// How many clients have a connection.
  [[nodiscard]] std::size_t size();

 private:
  Guarded<std::unordered_map<std::string, std::size_t>> counts_;
};

} // namespace pkc::http
