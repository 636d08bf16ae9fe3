// Quarantine: where objects go that failed a check, for the operator to look at.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/upkeep.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::blob {

/// What the quarantine may hold; the oldest objects go for the newest.
struct QuarantineLimits {
  ByteCount size_max = 0;
  std::size_t objects_max = 0;
};

/// Thread-safe. After a crash an object is in quarantine as far as it was moved: without its blob
/// nobody sees it where it was.
class Quarantine {
 public:
  /// `file_system` outlives this.
  Quarantine(FileSystem& file_system, const std::string& root)
      : file_system_(file_system), directory_(root + "/quarantine") {}

  /// Takes an object in. The caller holds the exclusive lock of its name. Errors: io, no_space.
  Result<void> take(std::string_view name,
                    const std::string& blob_path,
                    const std::string& sidecar_path,
                    std::string_view note);
  /// The oldest first.
  Result<std::vector<Quarantined>> list();
  /// Deletes the oldest until the rest is within the limits. An object that is larger than all of
  /// the room goes too.
  Result<void> trim(const QuarantineLimits& limits);

 private:
  Result<std::string> free_stem(std::string_view name);
  Result<void> drop(const std::string& stem);

  FileSystem& file_system_;
  std::string directory_;
};

} // namespace pkc::blob
