#include "pkc/base/processors.hpp"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace pkc {

std::size_t usable_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (::sched_getaffinity(0, sizeof(cores), &cores) != 0) { // more cores than the set has room for
    return std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
  }
  return static_cast<std::size_t>(CPU_COUNT(&cores));
}

} // namespace pkc
