// Tree: the source tree in memory, as the rules see it; tests make small ones by hand.
#pragma once

#include "source_view.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::lint {

/// One text file. `view` is filled for C++ only.
struct SourceFile {
  SourceFile(std::string file_path, std::string file_text);

  std::string path; ///< from the root, with slashes
  std::string text;
  SourceView view;

  [[nodiscard]] bool is_header() const;
  [[nodiscard]] bool is_source() const;
  [[nodiscard]] bool is_cpp() const { return is_header() || is_source(); }
  [[nodiscard]] bool is_under(std::string_view folder) const;
};

/// What the rules look at.
struct Tree {
  std::vector<SourceFile> files;
  std::map<std::string, std::set<std::string>> layers; ///< module: its direct dependencies
  std::vector<std::string> top_level; ///< names in the root folder that git would not ignore

  /// The file of that path, or null.
  [[nodiscard]] const SourceFile* find(std::string_view path) const;
};

/// Reads the tree below `root` and the layers.txt of a build folder. Throws what std::filesystem
/// throws, and std::runtime_error for an unreadable file.
Tree load_tree(const std::string& root, const std::string& layers_file);

} // namespace pkc::lint
