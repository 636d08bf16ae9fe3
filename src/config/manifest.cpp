#include "pkc/config/manifest.hpp"

#include "document.hpp"
#include "json_tree.hpp"
#include "quote.hpp"
#include "yaml_tree.hpp"

#include "pkc/base/http_text.hpp"
#include "pkc/base/url.hpp"
#include "pkc/config/reference.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <unordered_map>
#include <utility>

namespace pkc::config {
namespace {

constexpr std::size_t kProblemsMax = 100;
constexpr std::array<std::string_view, 3> kListKeys = {"files", "artifacts", "urls"};
constexpr std::array<std::string_view, 6> kEntryKeys = {
    "url", "checksum", "sha256", "sha512", "sha1", "md5"};
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::optional<ChecksumAlgorithm> algorithm_of(std::string_view name) {
  const auto* const found = std::ranges::find_if(kChecksumAlgorithms, [&](ChecksumAlgorithm known) {
    return equals_ignoring_case(name, to_string(known));
  });
  return found == kChecksumAlgorithms.end() ? std::nullopt : std::optional(*found);
}

/// "sha256:…", or hexadecimal digits alone, whose number tells. Errors: invalid_argument.
Result<Checksum> parse_any_checksum(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto algorithm = algorithm_of(text.substr(0, colon));
    return algorithm ? parse_checksum(*algorithm, text.substr(colon + 1))
                     : fail(Errc::invalid_argument,
                            "a checksum begins with sha256:, sha512:, sha1: or md5:");
  }
  for (const ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    if (auto checksum = parse_checksum(algorithm, text)) {
      return checksum;
    }
  }
  return fail(Errc::invalid_argument,
              "a checksum is 32, 40, 64 or 128 hexadecimal digits (md5, sha1, sha256, sha512)");
}

/// The next word of a line; nothing at its end or at a comment.
std::string_view take_word(std::string_view& line) {
  line = trim_ows(line);
  if (line.starts_with('#')) {
    line = {};
  }
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

/// Turns lines or a tree into a Manifest, and collects what is wrong. Used once.
class Reader {
 public:
  Reader(const std::string& path, Problems& problems) : path_(path), problems_(problems) {}

  void read_lines(std::string_view text);
  void read_tree(const YamlNode& root);
  Manifest take_manifest() { return std::move(manifest_); }

 private:
  void report(std::size_t line, const std::string& problem) {
    problems_.push_back(file_place(path_, line) + ": " + problem);
  }
  /// False when there is no use in going on.
  [[nodiscard]] bool may_go_on(std::size_t line);
  void read_line(std::string_view text, std::size_t line);
  void read_list(const YamlNode& list);
  void read_entry(const YamlNode& entry);
  bool knows_keys(const YamlNode& map,
                  std::string_view what,
                  std::span<const std::string_view> keys);
  void add_checksum(std::vector<Checksum>& checksums, Result<Checksum> checksum, std::size_t line);
  void add(std::string_view url, std::vector<Checksum> checksums, std::size_t line);
  void add_again(std::size_t index, const std::vector<Checksum>& checksums, std::size_t line);

  const std::string& path_;
  Problems& problems_;
  Manifest manifest_;
  std::vector<std::size_t> lines_;                     ///< of manifest_.files
  std::unordered_map<std::string, std::size_t> known_; ///< URL to its place in them
};

bool Reader::may_go_on(std::size_t line) {
  if (problems_.size() > kProblemsMax) {
    return false;
  }
  if (manifest_.files.size() + manifest_.repeated < kManifestEntriesMax) {
    return true;
  }
  report(line, "more than " + std::to_string(kManifestEntriesMax) + " entries: split the file");
  return false;
}

void Reader::add_checksum(std::vector<Checksum>& checksums,
                          Result<Checksum> checksum,
                          std::size_t line) {
  if (!checksum) {
    report(line, checksum.error().message);
    return;
  }
  const auto same = std::ranges::find(checksums, checksum->algorithm, &Checksum::algorithm);
  if (same == checksums.end()) {
    checksums.push_back(*std::move(checksum));
  } else if (*same != *checksum) {
    report(line, "two different values of " + std::string(to_string(checksum->algorithm)));
  }
}

void Reader::add(std::string_view url, std::vector<Checksum> checksums, std::size_t line) {
  const auto parsed = parse_url(url);
  if (!parsed) {
    report(line, "not a URL to download: " + parsed.error().message);
    return;
  }
  std::string text = parsed->text();
  const auto [known, fresh] = known_.try_emplace(text, manifest_.files.size());
  if (!fresh) {
    add_again(known->second, checksums, line);
    return;
  }
  manifest_.files.push_back({.url = std::move(text), .checksums = std::move(checksums)});
  lines_.push_back(line);
}

void Reader::add_again(std::size_t index,
                       const std::vector<Checksum>& checksums,
                       std::size_t line) {
  ++manifest_.repeated;
  std::vector<Checksum>& before = manifest_.files[index].checksums;
  for (const Checksum& checksum : checksums) {
    const auto same = std::ranges::find(before, checksum.algorithm, &Checksum::algorithm);
    if (same == before.end()) {
      before.push_back(checksum);
    } else if (*same != checksum) {
      report(line,
             "the URL of line " + std::to_string(lines_[index]) + " with another " +
                 std::string(to_string(checksum.algorithm)));
    }
  }
}

void Reader::read_line(std::string_view text, std::size_t line) {
  if (text.size() > kManifestLineSizeMax) {
    report(line, "longer than " + std::to_string(kManifestLineSizeMax) + " bytes");
    return;
  }
  const std::string_view url = take_word(text);
  if (url.empty() || !may_go_on(line)) {
    return;
  }
  std::vector<Checksum> checksums;
  for (std::string_view word = take_word(text); !word.empty(); word = take_word(text)) {
    add_checksum(checksums, parse_any_checksum(word), line);
  }
  add(url, std::move(checksums), line);
}

void Reader::read_lines(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  for (std::size_t line = 1; !text.empty() && problems_.size() <= kProblemsMax; ++line) {
    std::string_view content = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), content.size() + 1));
    if (content.ends_with('\r')) {
      content.remove_suffix(1);
    }
    read_line(content, line);
  }
}

bool Reader::knows_keys(const YamlNode& map,
                        std::string_view what,
                        std::span<const std::string_view> keys) {
  bool all = true;
  for (const YamlNode& member : map.members) {
    if (member.key.empty() || std::ranges::find(keys, member.key) != keys.end()) {
      continue;
    }
    all = false;
    const std::string_view nearest = nearest_name(member.key, {keys.begin(), keys.end()});
    report(member.line,
           "unknown key " + quoted(member.key) + " in " + std::string(what) +
               (nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?"));
  }
  return all;
}

void Reader::read_entry(const YamlNode& entry) {
  std::string_view words = entry.text;
  if (entry.kind == YamlNode::Kind::text && !take_word(words).empty()) {
    read_line(entry.text, entry.line);
    return;
  }
  if (entry.kind != YamlNode::Kind::map) {
    if (entry.kind != YamlNode::Kind::other) { // which is reported
      report(entry.line, "an entry is a URL, or a group with the key url");
    }
    return;
  }
  if (!knows_keys(entry, "an entry", kEntryKeys)) {
    return;
  }
  const YamlNode* url = nullptr;
  std::vector<Checksum> checksums;
  for (const YamlNode& member : entry.members) {
    if (member.kind != YamlNode::Kind::text || member.text.empty()) {
      // Nothing behind sha256 must not mean that nobody compares.
      report(member.line, quoted(member.key) + " has no text; leave the key out if there is none");
    } else if (member.key == "url") {
      url = &member;
    } else {
      const auto algorithm = algorithm_of(member.key);
      add_checksum(
          checksums,
          algorithm ? parse_checksum(*algorithm, member.text) : parse_any_checksum(member.text),
          member.line);
    }
  }
  if (url != nullptr) {
    add(url->text, std::move(checksums), url->line);
  } else if (std::ranges::find(entry.members, "url", &YamlNode::key) == entry.members.end()) {
    report(entry.line, "an entry without url");
  }
}

void Reader::read_list(const YamlNode& list) {
  if (list.kind != YamlNode::Kind::list) {
    report(list.line, "the files must be a list");
    return;
  }
  for (const YamlNode& entry : list.members) {
    if (!may_go_on(entry.line)) {
      return;
    }
    read_entry(entry);
  }
}

void Reader::read_tree(const YamlNode& root) {
  if (root.kind != YamlNode::Kind::map) {
    read_list(root);
    return;
  }
  knows_keys(root, "the manifest, whose list is under files, artifacts or urls", kListKeys);
  for (const YamlNode& member : root.members) {
    if (std::ranges::find(kListKeys, member.key) != kListKeys.end()) {
      read_list(member);
    }
  }
}

std::string_view extension_of(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? "" : path.substr(dot + 1);
}

} // namespace

std::optional<ManifestFormat> parse_manifest_format(std::string_view name) {
  if (name == "txt") {
    return ManifestFormat::text;
  }
  if (name == "json") {
    return ManifestFormat::json;
  }
  return name == "yaml" ? std::optional(ManifestFormat::yaml) : std::nullopt;
}

ManifestFormat manifest_format_of(std::string_view path) {
  const std::string_view extension = extension_of(path);
  if (equals_ignoring_case(extension, "json")) {
    return ManifestFormat::json;
  }
  const bool yaml =
      equals_ignoring_case(extension, "yaml") || equals_ignoring_case(extension, "yml");
  return yaml ? ManifestFormat::yaml : ManifestFormat::text;
}

std::expected<Manifest, Problems> parse_manifest(const ConfigFile& file, ManifestFormat format) {
  if (file.text.size() > kManifestSizeMax) {
    return std::unexpected(
        Problems{file.path + ": larger than " + format_byte_count(kManifestSizeMax)});
  }
  Problems problems;
  Reader reader(file.path, problems);
  if (format == ManifestFormat::text) {
    reader.read_lines(file.text);
  } else {
    const auto root =
        format == ManifestFormat::json ? read_json(file, problems) : read_yaml(file, problems);
    if (root && root->kind != YamlNode::Kind::nothing) {
      reader.read_tree(*root);
    }
  }
  Manifest manifest = reader.take_manifest();
  if (problems.empty() && manifest.files.empty()) {
    problems.push_back(file.path + ": names no file");
  }
  if (problems.size() > kProblemsMax) {
    problems.resize(kProblemsMax);
    problems.push_back(file.path + ": and more");
  }
  if (!problems.empty()) {
    return std::unexpected(std::move(problems));
  }
  return manifest;
}

} // namespace pkc::config
