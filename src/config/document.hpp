// Document: a settings file of any format, reduced to what settings can be made from.
#pragma once

#include "pkc/config/settings.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::config {

/// What a file's author wrote behind a key.
enum class Kind {
  plain,   ///< YAML text without quotes, which may be meant as anything
  string,  ///< quoted text
  number,  ///< text is the number as written, a whole number or not
  boolean, ///< text is "true" or "false"
  list,    ///< of texts
  other    ///< nothing a setting can be; text says what
};

struct Literal {
  Kind kind = Kind::other;
  std::string text;
  std::vector<std::string> elements;
};

struct Entry {
  std::string key; ///< as written
  std::size_t line = 0;
  Literal literal;
};

/// The top level of a file, in its order, duplicates included.
struct Document {
  std::vector<Entry> entries;
  Problems problems;
};

/// Reads a file by its extension. Never throws; what is wrong with the file as a whole is in the
/// problems. Holds no more than a few times the file's size in memory, whatever it nests or
/// aliases.
Document parse_document(const ConfigFile& file);

Document parse_yaml(const ConfigFile& file);
Document parse_toml(const ConfigFile& file);
Document parse_json(const ConfigFile& file);

/// For a parser that stops at an error: the last entry may have lost its value to it, and one
/// problem is enough for one mistake.
void drop_unfinished_entry(Document& document);

/// "server.yaml:12".
std::string file_place(std::string_view path, std::size_t line);

} // namespace pkc::config
