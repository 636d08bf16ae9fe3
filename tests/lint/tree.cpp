#include "tree.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace pkc::lint {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  const std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw std::runtime_error("cannot read " + path.string());
  }
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

/// The root folder's own patterns of .gitignore: "/name/", "/name" and "/prefix*/".
class IgnoredNames {
 public:
  explicit IgnoredNames(const fs::path& gitignore) {
    std::istringstream lines(read_text(gitignore));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('/')) {
        patterns_.push_back(line.substr(1, line.find_last_not_of('/')));
      }
    }
  }

  bool matches(std::string_view name) const {
    return std::ranges::any_of(patterns_, [&](std::string_view pattern) {
      return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                    : name == pattern;
    });
  }

 private:
  std::vector<std::string> patterns_;
};

bool is_text(const fs::path& path) {
  static constexpr std::array<std::string_view, 9> kExtensions{
      ".cpp", ".hpp", ".cmake", ".py", ".rs", ".sh", ".md", ".toml", ".yaml"};
  return std::ranges::find(kExtensions, path.extension().string()) != kExtensions.end() ||
         path.filename() == "CMakeLists.txt" || path.extension().empty();
}

/// Folders whose content is not written by hand: seeds of the fuzz targets, build results.
bool is_foreign(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name == "corpus" || name == "target" || name == "__pycache__";
}

void load_below(const fs::path& root, const fs::path& folder, std::vector<SourceFile>& files) {
  for (auto entry = fs::recursive_directory_iterator(folder);
       entry != fs::recursive_directory_iterator();
       ++entry) {
    if (entry->is_directory() && is_foreign(entry->path())) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && is_text(entry->path())) {
      files.emplace_back(entry->path().lexically_relative(root).generic_string(),
                         read_text(entry->path()));
    }
  }
}

std::map<std::string, std::set<std::string>> load_layers(const fs::path& path) {
  std::map<std::string, std::set<std::string>> layers;
  std::istringstream lines(read_text(path));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) {
      std::istringstream words(line.substr(colon + 1));
      layers[line.substr(0, colon)] = {std::istream_iterator<std::string>(words), {}};
    }
  }
  return layers;
}

} // namespace

SourceFile::SourceFile(std::string file_path, std::string file_text)
    : path(std::move(file_path)), text(std::move(file_text)) {
  if (is_cpp()) {
    view = view_source(text);
  }
}

bool SourceFile::is_header() const {
  return path.ends_with(".hpp");
}

bool SourceFile::is_source() const {
  return path.ends_with(".cpp");
}

bool SourceFile::is_under(std::string_view folder) const {
  return path.starts_with(folder);
}

const SourceFile* Tree::find(std::string_view path) const {
  const auto found = std::ranges::find(files, path, &SourceFile::path);
  return found == files.end() ? nullptr : &*found;
}

Tree load_tree(const std::string& root, const std::string& layers_file) {
  Tree tree;
  const IgnoredNames ignored(fs::path(root) / ".gitignore");
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename().string();
    if (name == ".git" || ignored.matches(name)) {
      continue;
    }
    tree.top_level.push_back(name);
    if (entry.is_directory()) {
      load_below(root, entry.path(), tree.files);
    } else if (is_text(entry.path())) {
      tree.files.emplace_back(name, read_text(entry.path()));
    }
  }
  tree.layers = load_layers(layers_file);
  return tree;
}

} // namespace pkc::lint
