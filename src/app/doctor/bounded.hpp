// Bounded: a check that may hang for ever, run where it can be left behind.
#pragma once

#include "pkc/app/doctor.hpp"

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace pkc::app {

/// Who uses the storage directory.
struct RunningServer {
  pid_t process = 0; ///< 0: not visible
};

/// What later checks want to know of an earlier one.
struct Facts {
  std::optional<RunningServer> server; ///< nothing: no server is seen
};

/// A check tells its findings and may add to the facts.
using Check = std::function<void(const FindingSink&, Facts&)>;

/// Runs the check in a child process and passes on each finding when it comes. When none comes for
/// `patience`, or the child dies, that is a problem of its own, said of `subject`; then the child
/// is killed and the facts are as before. Call it while the process has one thread.
void run_bounded(const std::string& subject,
                 std::chrono::milliseconds patience,
                 const Check& check,
                 const FindingSink& sink,
                 Facts& facts);

} // namespace pkc::app
