// The index in memory, for a server that can have no database, and for tests.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/index/index.hpp"

#include <memory>

namespace pkc::index {

/// Knows nothing at first, forgets everything at its end, is always available. About 400 bytes per
/// object. Notes take effect at once. `clock` outlives it.
std::unique_ptr<Index> make_memory_index(const Clock& clock);

} // namespace pkc::index
