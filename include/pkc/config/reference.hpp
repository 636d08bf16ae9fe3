// Reference: what people read about the settings, generated from the one table.
#pragma once

#include "pkc/config/settings.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace pkc::config {

/// The flags without their dashes, in the order of the table. All take one value.
std::vector<std::string_view> flag_names();

/// What may stand behind a flag, as far as a shell can complete it.
enum class Completion {
  none,
  words,
  files,
  directories
};

/// A flag as a shell shows it. The views live for ever.
struct FlagSummary {
  std::string_view name;        ///< without its dashes
  std::string_view summary;     ///< the first clause of its help
  std::string_view placeholder; ///< stands for the value; empty when `words` are all there are
  Completion completion = Completion::none;
  std::vector<std::string_view> words; ///< the values, when they can be listed
};

/// All flags in the order of the table.
std::vector<FlagSummary> flag_summaries();

/// The known name nearest to `name`, or empty when none is near. Also for other words than flags:
/// `known` is what it may be.
std::string_view nearest_name(std::string_view name, const std::vector<std::string_view>& known);

/// The settings in sections, for --help.
std::string help_text();

/// A settings file (YAML) in which every setting is explained and commented out.
std::string sample_file();

/// What the settings file is and may hold: a manual page in the macros of man(7), from its NAME on.
/// The title line is the packager's, who knows the date.
std::string manual_page();

/// The settings as a Markdown table.
std::string readme_table();

/// One line a setting: name, value, origin. Secrets are shown as ***.
std::string show_text(const LoadedSettings& loaded);

/// {"<setting>": {"value": …, "origin": "flag", "place": "--port"}, …}: values have the types that
/// a settings file takes, so sizes are numbers of bytes and durations are text. Secrets are "***".
std::string show_json(const LoadedSettings& loaded);

} // namespace pkc::config
