// YamlNode: a YAML file of lists and maps, with the places of everything in it.
#pragma once

#include "pkc/config/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pkc::config {

/// A value. A member of a map also has its key; keys keep their order, duplicates included.
struct YamlNode {
  enum class Kind : std::uint8_t {
    nothing, ///< no value behind a key, or null
    text,    ///< with quotes or without; nothing is taken for a number or a boolean here
    list,
    map,
    other, ///< an alias or a tag, which nobody needs and which is reported
  };
  Kind kind = Kind::nothing;
  std::string key; ///< empty for one that is no text, which is reported
  std::string text;
  std::size_t line = 0;     ///< where it begins, or its key if it has one; from 1
  std::size_t end_line = 0; ///< the last one on which anything in it begins
  std::vector<YamlNode> members;
};

/// Reads a file; what is no YAML, repeats a key, or is nested deeper than anything needs is added
/// to `problems`. Never throws. Nothing when the file is empty or is of no use at all.
std::optional<YamlNode> read_yaml(const ConfigFile& file, Problems& problems);

} // namespace pkc::config
