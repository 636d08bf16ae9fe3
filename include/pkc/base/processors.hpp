// How much of the machine is ours.
#pragma once

#include <cstddef>

namespace pkc {

/// How many threads can run at once, at least 1: of all cores those that we may use, which is less
/// in a container or when pinned.
std::size_t usable_cores();

} // namespace pkc
