// Arguments: the words of the command line, sorted into a command, flags, options and mistakes.
#pragma once

#include "pkc/config/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::cli {

/// A flag of one command, beside those of the settings that all commands take. It stands behind the
/// command.
struct Option {
  std::string_view name;  ///< without its dashes; no setting has it
  std::string_view value; ///< what it takes, for --help ("N", "FILE"); empty: nothing
  std::string_view help;
  enum class Times : std::uint8_t {
    once,
    many
  } times = Times::once;
};

/// The words that a command takes behind it, apart from flags.
struct Operands {
  std::string_view syntax; ///< for --help: "KEY [FILE]"
  std::size_t min = 0;
  std::size_t max = 0;
  enum class First : std::uint8_t {
    other,
    file ///< which a shell can complete
  } first = First::other;
};

/// What may stand behind a command.
struct Syntax {
  std::string_view command; ///< a group and its member have a blank between them
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  std::span<const Option> options{};
  Operands operands{};
};

/// What the command line asks for.
struct Arguments {
  std::string command; ///< "serve", "config show"; empty when none was given
  bool help = false;
  bool version = false;
  /// In their order within each name. Also names that are no flags: whoever loads the settings
  /// reports those along with everything else.
  std::vector<config::Assignment> flags;
  /// Of the command, in their order within each name. One that takes no value has an empty one.
  std::vector<config::Assignment> options;
  std::vector<std::string> operands; ///< as many as the command takes
  config::Problems problems;         ///< with anything but flags

  [[nodiscard]] bool has(std::string_view option) const;
  /// The last one; nothing when the option was not given.
  [[nodiscard]] std::optional<std::string> value(std::string_view option) const;
};

/// Sorts `words` (without the program's name). `commands` are the known ones. Flags are taken
/// before and after the command. Pure.
Arguments parse_arguments(const std::vector<std::string>& words, std::span<const Syntax> commands);

struct NumberRange {
  std::uint64_t initial = 0; ///< when the option was not given
  std::uint64_t min = 0;
  std::uint64_t max = 0;
};
/// The value of an option as a whole number. One that is not in the range is added to the problems.
std::uint64_t take_number(Arguments& arguments, std::string_view option, const NumberRange& range);

} // namespace pkc::cli
