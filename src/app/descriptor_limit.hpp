// The limit of open files: raised as far as the process may, and shared out between clients and
// blobs.
#pragma once

#include "pkc/ops/log.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace pkc::app {

/// Raises the soft limit to the hard one, as most systems start a process with 1024. Returns the
/// limit in force; nothing when the kernel does not tell.
std::optional<std::uint64_t> raise_descriptor_limit(ops::Log& log);

/// How many clients fit into `descriptors`, at most `wanted` and at least 1, so that every worker
/// can still open what its request needs. Without that room a server full of clients would answer
/// them all with 500.
std::size_t connections_that_fit(std::uint64_t descriptors,
                                 std::size_t workers_max,
                                 std::size_t wanted);

/// How a limit of open files is shared out; what was wanted where it suffices.
struct DescriptorShares {
  std::size_t open_files = 0;  ///< of artifacts, kept open between reads
  std::size_t connections = 0; ///< as connections_that_fit()
};
DescriptorShares share_descriptors(std::uint64_t descriptors,
                                   std::size_t workers_max,
                                   const DescriptorShares& wanted);

/// The least limit of open files that gives all that is wanted.
std::uint64_t descriptors_for(std::size_t workers_max, const DescriptorShares& wanted);

} // namespace pkc::app
