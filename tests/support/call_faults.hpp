// CallFaults: the system calls of this process fail, or are its last, when a test says so. For what
// does its I/O itself, as SQLite does. A program that links this has the calls of all its libraries
// go through it.
#pragma once

#include <cstdint>

namespace pkc::test {

enum class CallFault : std::uint8_t {
  none,
  io_error, ///< that one call fails with EIO
  no_space, ///< from that call on nothing can be written: ENOSPC
  kill,     ///< SIGKILL in place of the call
  torn,     ///< SIGKILL after half of it, if it is a write
};

/// From now on the `n`-th call that opens, reads, writes, syncs, renames or removes a file (0: the
/// next one) does so. Calls of all threads count.
void arm_call_fault(CallFault fault, std::uint64_t n);
/// All calls work again. Returns how many were made since.
std::uint64_t disarm_call_fault();

} // namespace pkc::test
