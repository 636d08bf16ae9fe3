#include "json_tree.hpp"

#include "document.hpp"
#include "json_lines.hpp"
#include "quote.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace pkc::config {
namespace {

/// As in yaml_tree.cpp: deeper, wider and more than any file of ours is.
constexpr std::size_t kDepthMax = 16;
constexpr std::size_t kKeysMax = 64;
constexpr std::size_t kNodesMax = 1'000'000;

/// Makes a tree of the parser's events: its own would lose duplicates and places. One thread at a
/// time.
class TreeBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  TreeBuilder(const std::string& path, const std::size_t& line, Problems& problems)
      : path_(path), line_(line), problems_(problems) {}

  bool null() override { return take(YamlNode::Kind::nothing, {}); }
  bool boolean(bool /*value*/) override { return take_other("true or false"); }
  bool number_integer(std::int64_t /*value*/) override { return take_other("a number"); }
  bool number_unsigned(std::uint64_t /*value*/) override { return take_other("a number"); }
  bool number_float(double /*value*/, const std::string& /*text*/) override {
    return take_other("a number");
  }
  bool string(std::string& value) override { return take(YamlNode::Kind::text, std::move(value)); }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return true; } // not in JSON text

  bool start_object(std::size_t /*elements*/) override { return open(YamlNode::Kind::map); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override { return open(YamlNode::Kind::list); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    Open& map = open_.back();
    const auto twice = std::ranges::find(map.node.members, name, &YamlNode::key);
    if (twice != map.node.members.end()) {
      report(printable(name) + " is there twice, first on line " + std::to_string(twice->line));
    }
    if (map.node.members.size() == kKeysMax) {
      return stop("more keys than make sense");
    }
    if (name.empty()) {
      report("a key must be text");
    }
    map.key = std::move(name);
    map.key_line = line_;
    return true;
  }

  bool parse_error(std::size_t /*position*/,
                   const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    return stop("not valid JSON: " + printable_message(json_message(error.what())));
  }

  std::optional<YamlNode> take_root() { return std::exchange(root_, std::nullopt); }

 private:
  /// A list or map whose end has not come.
  struct Open {
    YamlNode node;
    std::string key; ///< of the member that comes next
    std::size_t key_line = 0;
  };

  void report(const std::string& problem) {
    problems_.push_back(file_place(path_, line_) + ": " + problem);
  }
  /// Ends the parser, and what was read is of no use.
  bool stop(const std::string& problem) {
    report(problem);
    return false;
  }

  static YamlNode make(YamlNode::Kind kind, std::string text, std::size_t line) {
    return {.kind = kind,
            .key = {},
            .text = std::move(text),
            .line = line,
            .end_line = line,
            .members = {}};
  }

  bool take(YamlNode::Kind kind, std::string text) {
    return attach(make(kind, std::move(text), line_));
  }
  bool take_other(const std::string& what) {
    report(what + " where text is expected");
    return take(YamlNode::Kind::other, {});
  }

  bool open(YamlNode::Kind kind) {
    if (open_.size() == kDepthMax) {
      return stop("nested too deeply");
    }
    open_.push_back({.node = make(kind, {}, line_), .key = {}, .key_line = 0});
    return true;
  }
  bool close() {
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    return attach(std::move(node));
  }

  bool attach(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return true;
    }
    if (nodes_++ == kNodesMax) {
      return stop("more values than make sense");
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::map) {
      node.key = std::move(parent.key);
      node.line = parent.key_line;
    }
    parent.node.end_line = line_;
    parent.node.members.push_back(std::move(node));
    return true;
  }

  const std::string& path_;
  const std::size_t& line_;
  Problems& problems_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0; ///< that are kept
  std::optional<YamlNode> root_;
};

} // namespace

std::optional<YamlNode> read_json(const ConfigFile& file, Problems& problems) {
  std::size_t line = 1;
  TreeBuilder builder(file.path, line, problems);
  try {
    const char* const begin = file.text.data();
    const bool whole = nlohmann::json::sax_parse(
        LineCounter(begin, &line), LineCounter(begin + file.text.size(), &line), &builder);
    return whole ? builder.take_root() : std::nullopt;
  } catch (const std::exception& error) {
    problems.push_back(file.path + ": not valid JSON: " + printable_message(error.what()));
    return std::nullopt;
  }
}

} // namespace pkc::config
