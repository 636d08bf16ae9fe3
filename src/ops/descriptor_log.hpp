// A log on any file descriptor.
#pragma once

#include "pkc/ops/log.hpp"

#include <memory>

namespace pkc::ops {

/// A log on `descriptor`, which outlives it and stays the caller's. Lines of level warn and error
/// are written at once, others within a second; destruction writes what is left.
std::unique_ptr<Log> make_descriptor_log(LogOptions options, int descriptor);

} // namespace pkc::ops
