// Job: work in the background of a server that has the clients.
#pragma once

namespace pkc::app {

/// Something that a server does by itself, while nobody hands over to it or takes over from it.
/// Thread-safe.
class Job {
 public:
  virtual ~Job() = default;
  virtual void start() = 0;
  /// Returns soon, when nothing of it runs any more. Nothing happens if it does not.
  virtual void stop() = 0;
};

} // namespace pkc::app
