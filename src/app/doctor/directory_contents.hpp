// What lies in a storage directory, told by its top level.
#pragma once

#include <sys/types.h>

#include <string>

namespace pkc::app {

/// Each is for people, and empty when there is nothing of the kind.
struct Contents {
  std::string foreign;    ///< the names of a few entries that no server made
  std::string unusable;   ///< the path of one that this user may not write or, when that is root,
                          ///< one that does not belong to `owner`
  std::string in_the_way; ///< the path of one that is a file instead of a directory, or the reverse
};

/// Looks at the first few thousand entries; each blocks on the disk.
Contents read_contents(const std::string& directory, uid_t owner);

} // namespace pkc::app
