// A big index, fast: for measurements and for tests of stores with very many objects.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/index/index.hpp"

#include <chrono>
#include <cstdint>
#include <string>

namespace pkc::test {

/// Key number `number`: 64 hexadecimal digits, spread evenly over all shards. Pure.
std::string made_key(std::uint64_t number);

/// What made_key(number) is like: sizes between 1 KiB and 1 MiB, most of them small. Pure.
std::uint64_t made_size(std::uint64_t number);

/// Notes objects 0 to `count` - 1 of a space, one second apart up to `newest`, and flushes. About
/// a minute for a million.
Result<void> fill_index(index::Index& index,
                        const std::string& space,
                        std::uint64_t count,
                        index::Time newest);

} // namespace pkc::test
