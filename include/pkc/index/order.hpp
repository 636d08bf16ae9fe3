// What all questions to an index have in common.
#pragma once

#include "pkc/base/clock.hpp"

#include <cstdint>

namespace pkc::index {

/// Fine enough to tell which of two objects was used later.
using Time = WallTimeMs;

enum class Order : std::uint8_t {
  ascending,
  descending,
};

} // namespace pkc::index
