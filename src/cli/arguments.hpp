// Arguments: the words of the command line, sorted into a command, flags and mistakes.
#pragma once

#include "pkc/config/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::cli {

/// What the command line asks for.
struct Arguments {
  std::string command; ///< "serve", "config show"; empty when none was given
  bool help = false;
  bool version = false;
  bool json = false;
  /// In their order within each name. Also names that are no flags: whoever loads the settings
  /// reports those along with everything else.
  std::vector<config::Assignment> flags;
  config::Problems problems; ///< with anything but flags
};

/// Sorts `words` (without the program's name). `commands` are the known ones, a group and its
/// member with a blank between them. Flags are taken before and after the command. Pure.
Arguments parse_arguments(const std::vector<std::string>& words,
                          const std::vector<std::string_view>& commands);

} // namespace pkc::cli
