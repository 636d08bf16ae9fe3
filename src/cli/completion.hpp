// Completion: scripts that teach a shell our commands, flags and values.
#pragma once

#include "commands.hpp"

#include <span>
#include <string>

namespace pkc::cli {

/// Each returns a script for its shell: to be sourced, or installed where the shell looks for the
/// completions of `polykit-cache`. Commands without a help are not offered. Pure.
std::string bash_completion(std::span<const Command> commands);
std::string zsh_completion(std::span<const Command> commands);
std::string fish_completion(std::span<const Command> commands);

} // namespace pkc::cli
