// Program: how this process was started.
#pragma once

#include "pkc/base/result.hpp"

#include <string>
#include <vector>

namespace pkc::app {

/// What it takes to start the program again in the same way. Immutable.
struct Program {
  /// Where the program was started from, as an absolute path, links and all: what lies there by now
  /// is what a successor runs. Of a program that has no path any more, or never had one, the
  /// kernel's name for the file that runs now.
  std::string path;
  std::vector<std::string> arguments;
  std::vector<std::string> environment; ///< NAME=value, but what was meant for this process alone

  /// Call it before any variable is taken from the environment and before there are threads.
  /// Errors: unavailable, with the reason, when a successor could not live longer than this
  /// process; io when the system does not tell how we were started.
  static Result<Program> capture();
};

} // namespace pkc::app
