// Rebuild: a comparison of the whole index with the files that an operator asks a server for.
#pragma once

#include "pkc/base/guarded.hpp"
#include "pkc/store/catalog.hpp"

#include <cstdint>

namespace pkc::store {

/// Between those who ask for it, and the one job that compares. Thread-safe. Owned by app.
class Rebuild {
 public:
  enum class Phase : std::uint8_t {
    none, ///< nobody has asked since the process started
    waiting,
    running,
    done,
    failed, ///< broken off: the log says why; ask again
  };
  struct Status {
    Phase phase = Phase::none;
    CompareProgress progress; ///< of the last one
  };

  /// Asks for one; false when one waits or runs already.
  bool begin();
  [[nodiscard]] Status status();

  /// For the job. take(): whether one waits, which is running from then on.
  bool take();
  void report(const CompareProgress& progress);
  void end(bool whole);

 private:
  Guarded<Status> status_;
};

} // namespace pkc::store
