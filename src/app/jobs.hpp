// Jobs: what the server does besides answering requests.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace pkc::app {

/// Threads with a name, each running one job until it is done or told to stop. Destruction stops
/// all and waits for them. One thread at a time.
class Jobs {
 public:
  using Job = std::function<void(const std::stop_token&)>;

  Jobs() = default;
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;
  Jobs(Jobs&&) = delete;
  Jobs& operator=(Jobs&&) = delete;
  ~Jobs();

  /// `name`: up to 15 characters, for ps and gdb. The job must not throw.
  void start(std::string_view name, Job job);

 private:
  std::vector<std::jthread> threads_;
};

} // namespace pkc::app
