#include "jobs.hpp"

#include <pthread.h>

#include <utility>

namespace pkc::app {

Jobs::~Jobs() {
  for (std::jthread& thread : threads_) { // all at once, not one after the other
    thread.request_stop();
  }
}

void Jobs::start(std::string_view name, Job job) {
  threads_.emplace_back(
      [title = std::string(name), job = std::move(job)](const std::stop_token& stop) {
        ::pthread_setname_np(::pthread_self(), title.c_str());
        job(stop);
      });
}

} // namespace pkc::app
