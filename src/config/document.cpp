#include "document.hpp"

#include <array>
#include <utility>

namespace pkc::config {
namespace {

struct Format {
  std::string_view extension;
  Document (*parse)(const ConfigFile&);
};

constexpr std::array kFormats = {Format{".yaml", parse_yaml},
                                 Format{".yml", parse_yaml},
                                 Format{".toml", parse_toml},
                                 Format{".json", parse_json}};

Document refused(const ConfigFile& file, std::string_view reason) {
  return Document{.entries = {}, .problems = {file.path + ": " + std::string(reason)}};
}

} // namespace

Document parse_document(const ConfigFile& file) {
  if (file.text.size() > kConfigFileSizeMax) {
    return refused(file, "the file is larger than " + format_byte_count(kConfigFileSizeMax));
  }
  for (const Format& format : kFormats) {
    if (file.path.ends_with(format.extension)) {
      return format.parse(file);
    }
  }
  return refused(file, "the format is not known; name the file *.yaml, *.yml, *.toml or *.json");
}

void drop_unfinished_entry(Document& document) {
  if (!document.entries.empty()) {
    document.entries.pop_back();
  }
}

std::string file_place(std::string_view path, std::size_t line) {
  return std::string(path) + ":" + std::to_string(line);
}

} // namespace pkc::config
