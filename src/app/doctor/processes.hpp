// Processes: who holds a lock or listens on a port, as far as /proc shows it to this user.
#pragma once

#include "bounded.hpp"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::app {

/// A file as the kernel's list of locks names it.
struct LockedFile {
  unsigned device_major = 0;
  unsigned device_minor = 0;
  std::uint64_t inode = 0;
};

/// Who holds a flock() on `file` by the text of /proc/locks; those who wait for one do not count.
/// Pure.
std::optional<pid_t> flock_holder(std::string_view locks, const LockedFile& file);

/// The sockets (inodes) that listen on a port by the text of /proc/net/tcp or tcp6. Pure.
std::set<std::uint64_t> listening_sockets(std::string_view table, std::uint16_t port);

/// The server that uses a storage directory, found without taking a lock or waiting for one, so
/// that a server which starts at this moment finds the lock free. Nothing also when the lock is
/// held where we cannot see it: in another container, without /proc.
std::optional<RunningServer> find_server(const std::string& storage_dir);

struct PortOwner {
  pid_t process = 0;
  std::string name; ///< of the program
};

/// Who listens on a TCP port of any address; only the processes of this user, unless it is root.
std::vector<PortOwner> find_port_owners(std::uint16_t port);

} // namespace pkc::app
