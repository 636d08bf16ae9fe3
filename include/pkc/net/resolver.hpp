// Resolver: from names to addresses, with a deadline.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/net/address.hpp"

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace pkc::net {

/// Where addresses come from; tests bring their own. Thread-safe.
class Resolver {
 public:
  virtual ~Resolver() = default;

  /// The addresses of a name, in the order in which they are to be tried; at least one. Blocks
  /// until the deadline at most. Errors: unavailable (no such name, no answer, too many lookups
  /// under way, stopped), timeout.
  virtual Result<std::vector<Address>> resolve(const std::string& host,
                                               SteadyTime deadline,
                                               const std::stop_token& stop) = 0;
};

struct SystemResolverOptions {
  std::size_t threads = 4;       ///< lookups at one time
  std::size_t waiting_max = 256; ///< names that wait for a thread; more are unavailable
};

/// getaddrinfo() on threads of its own, for it knows no deadline. Nothing is remembered: the
/// machine's resolver does that, with the times that the names' owners ask for. Callers that wait
/// for one name share one lookup. The destructor waits for the lookups under way, as long as the
/// machine's resolver takes for them.
std::unique_ptr<Resolver> make_system_resolver(const SystemResolverOptions& options = {});

} // namespace pkc::net
