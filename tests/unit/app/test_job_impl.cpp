#include "job.hpp"

#include <doctest/doctest.h>

#include <pthread.h>

#include <array>
#include <atomic>
#include <latch>
#include <stop_token>
#include <string>

namespace pkc::app {
namespace {

/// Until it is told to stop.
void wait_for(const std::stop_token& stop) {
  std::latch stopped(1);
  const std::stop_callback wake(stop, [&] { stopped.count_down(); });
  stopped.wait();
}

TEST_SUITE("app::Job") {
  TEST_CASE("runs between start and stop, as often as it is started, and under its name") {
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};
    std::string name;
    Job job("eviction", [&](const std::stop_token& stop) {
      std::array<char, 16> text{};
      ::pthread_getname_np(::pthread_self(), text.data(), text.size());
      name = text.data();
      ++begun;
      begun.notify_all();
      wait_for(stop);
      ++ended;
    });
    CHECK(begun == 0);
    for (int round = 1; round <= 3; ++round) {
      job.start();
      begun.wait(round - 1);
      CHECK(ended == round - 1);

      job.stop();

      CHECK(ended == round);
    }
    job.stop(); // nothing runs
    CHECK(begun == 3);
    CHECK(name == "eviction");
  }

  TEST_CASE("request_stop: several end at once, and destruction waits for their ends") {
    std::atomic<int> ended{0};
    std::latch both_were_told(2);
    const auto work = [&](const std::stop_token& stop) {
      wait_for(stop);
      both_were_told.arrive_and_wait(); // for ever, if one were stopped after the other
      ++ended;
    };
    {
      Job one("one", work);
      Job two("two", work);
      one.start();
      two.start();
      one.request_stop();
      two.request_stop();
    }
    CHECK(ended == 2);
  }
}

} // namespace
} // namespace pkc::app
