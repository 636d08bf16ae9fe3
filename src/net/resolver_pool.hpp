// ResolverPool: lookups that know no deadline, on a few threads, for callers that have one.
#pragma once

#include "pkc/base/guarded.hpp"
#include "pkc/net/resolver.hpp"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>

namespace pkc::net {

/// Looks one name up, for as long as it takes. Called by several threads at once.
using Lookup = std::function<Result<std::vector<Address>>(const std::string& host)>;

/// Thread-safe. The destructor waits for the lookups under way.
class ResolverPool final : public Resolver {
 public:
  ResolverPool(const SystemResolverOptions& options, Lookup lookup);

  Result<std::vector<Address>> resolve(const std::string& host,
                                       SteadyTime deadline,
                                       const std::stop_token& stop) override;

 private:
  /// One lookup and those who wait for it.
  struct Job {
    std::string host;
    std::size_t callers = 0;
    std::optional<Result<std::vector<Address>>> result;
  };
  struct State {
    std::map<std::string, std::shared_ptr<Job>> jobs; ///< waiting and under way, by host
    std::deque<std::shared_ptr<Job>> waiting;
  };

  /// Joins the lookup of `host`, or begins one; null when too many wait.
  std::shared_ptr<Job> join(const std::string& host);
  /// A job to be done, whose callers have not all left; null when it is time to stop.
  std::shared_ptr<Job> take(const std::stop_token& stop);
  void run(const std::stop_token& stop);
  /// Removes a job that nobody waits for and nobody works on.
  static void leave(State& state, const std::shared_ptr<Job>& job);

  const std::size_t waiting_max_;
  const Lookup lookup_;
  Guarded<State> state_;
  std::condition_variable_any work_came_;
  std::condition_variable_any job_done_;
  std::vector<std::jthread> threads_; ///< last: they use the rest
};

} // namespace pkc::net
