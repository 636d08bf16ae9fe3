// ask_again(): whether an origin still has what was downloaded from it.
#pragma once

#include "body_sink.hpp"

#include "pkc/upstream/downloads.hpp"

#include <stop_token>

namespace pkc::upstream {

/// Blocks for one request, whose body is not taken.
Checked ask_again(const Fetchers& fetchers,
                  const CheckRequest& request,
                  const std::stop_token& stop);

} // namespace pkc::upstream
