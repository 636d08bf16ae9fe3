// Console: what the commands print, and what they share to find it out.
#pragma once

#include "commands.hpp"

#include <expected>
#include <optional>
#include <string_view>

namespace pkc::cli {

/// Writes to standard output; returns kExitOk, or kExitFailed when the output did not take it.
int print(std::string_view text);

/// Writes to standard error.
void print_error(std::string_view text);

/// Writes each problem and a hint to standard error; returns kExitUsage.
int print_problems(const config::Problems& problems);

/// The settings of all sources, or every problem with them and with the command line.
std::expected<config::LoadedSettings, config::Problems> load(const Invocation& invocation);

/// The settings of all sources; nothing after their problems were printed.
std::optional<config::LoadedSettings> load_or_print_problems(const Invocation& invocation);

} // namespace pkc::cli
