#include "job.hpp"

#include "pkc/base/assert.hpp"

#include <pthread.h>

#include <utility>

namespace pkc::app {

Job::Job(std::string name, Work work) : name_(std::move(name)), work_(std::move(work)) {}

void Job::start() {
  PKC_ASSERT(!thread_.joinable());
  thread_ = std::jthread([this](const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), name_.c_str());
    work_(stop);
  });
}

void Job::stop() {
  thread_ = std::jthread();
}

} // namespace pkc::app
