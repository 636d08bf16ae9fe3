// ClientCounts: how many connections each address has.
#pragma once

#include "pkc/base/guarded.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pkc::http {

/// Counts connections by peer address. Touched once when a connection comes and once when it goes,
/// never for a request. Holds the addresses that have a connection now and no others, so it is as
/// bounded as the connections are. Thread-safe.
class ClientCounts {
 public:
  /// False, and nothing is counted, when `address` has `max` connections already.
  bool try_add(std::string_view address, std::size_t max);
  /// REQUIRES: a try_add() of the address that was true and has not been removed.
  void remove(std::string_view address);

  /// How many addresses have a connection.
  [[nodiscard]] std::size_t size();

 private:
  struct Hash : std::hash<std::string_view> {
    // NOLINTNEXTLINE(readability-identifier-naming): the name that std::unordered_map asks for.
    using is_transparent = void;
  };
  Guarded<std::unordered_map<std::string, std::size_t, Hash, std::equal_to<>>> counts_;
};

} // namespace pkc::http
