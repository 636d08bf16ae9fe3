// Job: what the server does besides answering requests.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

namespace pkc::app {

/// A thread with a name, between start() and stop(). Some run as long as there is a storage; others
/// only while we have the clients, and Lifecycle starts and stops those. One thread at a time.
/// Destruction stops it.
class Job {
 public:
  /// Returns soon after it was told to stop, or when it is done. Must not throw.
  using Work = std::function<void(const std::stop_token&)>;

  /// `name`: up to 15 characters, for ps and gdb.
  Job(std::string name, Work work);

  /// REQUIRES: it does not run.
  void start();
  /// Nothing of it runs afterwards. Nothing happens if it does not run.
  void stop();
  /// As stop(), but does not wait: so that several end at once, not one after the other.
  void request_stop() { thread_.request_stop(); }

 private:
  const std::string name_;
  const Work work_;
  std::jthread thread_; // the last: it uses the others
};

} // namespace pkc::app
