#include "yaml_tree.hpp"

#include "document.hpp"
#include "quote.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <exception>
#include <sstream>
#include <utility>

namespace pkc::config {
namespace {

/// Deeper than any file of ours is.
constexpr std::size_t kDepthMax = 16;
/// More keys than any map of ours has; bounds the search for duplicates.
constexpr std::size_t kKeysMax = 64;
/// More values than the longest file has; bounds the memory.
constexpr std::size_t kNodesMax = 1'000'000;

std::size_t line_of(const YAML::Mark& mark) {
  return static_cast<std::size_t>(mark.line) + 1;
}

/// Makes a tree of the parser's events: its own would lose duplicates and places, and would resolve
/// aliases without a limit. One thread at a time.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const std::string& path, Problems& problems) : path_(path), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(any_document_, true)) {
      second_document_ = true;
      report(line_of(mark), "a second document begins; one is enough");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    take(mark, YamlNode::Kind::nothing, {});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    report(line_of(mark), "an alias; write out what is meant");
    take(mark, YamlNode::Kind::other, {});
  }
  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    // The parser's own names for text without quotes and with quotes.
    if (tag == "?" || tag == "!") {
      take(mark, YamlNode::Kind::text, value);
    } else {
      report(line_of(mark), "a value with a tag");
      take(mark, YamlNode::Kind::other, {});
    }
  }
  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    open(mark, YamlNode::Kind::list);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark,
                  const std::string& /*tag*/,
                  YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    open(mark, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

  [[nodiscard]] bool has_second_document() const { return second_document_; }
  std::optional<YamlNode> take_root() { return std::exchange(root_, std::nullopt); }

 private:
  /// A list or map whose end has not come.
  struct Open {
    YamlNode node;
    bool at_key = true; ///< of a map
    std::string key;
    std::size_t key_line = 0;
    bool full = false;
  };

  void report(std::size_t line, const std::string& problem) {
    problems_.push_back(file_place(path_, line) + ": " + problem);
  }

  void take(const YAML::Mark& mark, YamlNode::Kind kind, std::string text) {
    if (too_deep_ > 0) {
      return;
    }
    if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::map && open_.back().at_key) {
      take_key(mark, kind, std::move(text));
      return;
    }
    const std::size_t line = line_of(mark);
    attach({.kind = kind,
            .key = {},
            .text = std::move(text),
            .line = line,
            .end_line = line,
            .members = {}});
  }

  void take_key(const YAML::Mark& mark, YamlNode::Kind kind, std::string text) {
    Open& map = open_.back();
    if (kind != YamlNode::Kind::text || text.empty()) {
      report(line_of(mark), "a key must be text");
    }
    if (map.node.members.size() == kKeysMax && !std::exchange(map.full, true)) {
      report(line_of(mark), "more keys than make sense");
    }
    const auto twice = std::ranges::find(map.node.members, text, &YamlNode::key);
    if (twice != map.node.members.end()) {
      report(line_of(mark),
             printable(text) + " is there twice, first on line " + std::to_string(twice->line));
    }
    map.key = std::move(text);
    map.key_line = line_of(mark);
    map.at_key = false;
  }

  void open(const YAML::Mark& mark, YamlNode::Kind kind) {
    if (too_deep_ > 0 || open_.size() == kDepthMax) {
      if (too_deep_++ == 0) {
        report(line_of(mark), "nested too deeply");
      }
      return;
    }
    if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::map && open_.back().at_key) {
      // What the key holds must be skipped, and then stands for one.
      report(line_of(mark), "a key must be text");
      ++too_deep_;
      return;
    }
    const std::size_t line = line_of(mark);
    open_.push_back(
        {.node =
             {.kind = kind, .key = {}, .text = {}, .line = line, .end_line = line, .members = {}},
         .at_key = true,
         .key = {},
         .key_line = 0,
         .full = false});
  }

  void close() {
    if (too_deep_ > 0) {
      if (--too_deep_ == 0) {
        stand_in();
      }
      return;
    }
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    attach(std::move(node));
  }

  /// For a list or map that was skipped, so that keys and values stay in step.
  void stand_in() {
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::map && parent.at_key) {
      parent.key.clear();
      parent.key_line = parent.node.line;
      parent.at_key = false;
      return;
    }
    YamlNode node;
    node.kind = YamlNode::Kind::other;
    node.line = parent.node.line;
    node.end_line = parent.node.line;
    attach(std::move(node));
  }

  void attach(YamlNode node) {
    if (open_.empty()) {
      if (!root_) {
        root_ = std::move(node);
      }
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::map) {
      node.key = std::move(parent.key);
      node.line = parent.key_line;
      parent.at_key = true;
    }
    if (parent.full) {
      return;
    }
    if (nodes_ == kNodesMax) {
      if (!std::exchange(too_many_, true)) {
        report(node.line, "more values than make sense");
      }
      return;
    }
    ++nodes_;
    parent.node.end_line = std::max({parent.node.end_line, node.line, node.end_line});
    parent.node.members.push_back(std::move(node));
  }

  const std::string& path_;
  Problems& problems_;
  std::vector<Open> open_;
  std::size_t nodes_ = 0; ///< that are kept
  bool too_many_ = false;
  std::size_t too_deep_ = 0; ///< lists and maps that are open beyond what is kept
  std::optional<YamlNode> root_;
  bool any_document_ = false;
  bool second_document_ = false;
};

} // namespace

std::optional<YamlNode> read_yaml(const ConfigFile& file, Problems& problems) {
  TreeBuilder builder(file.path, problems);
  try {
    std::istringstream stream(file.text);
    YAML::Parser parser(stream);
    // No further than the second document: yaml-cpp 0.7 finds documents for ever in `,"a":`.
    while (!builder.has_second_document() && parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    problems.push_back(file_place(file.path, static_cast<std::size_t>(error.mark.line) + 1) +
                       ": not valid YAML: " + printable_message(error.msg));
    return std::nullopt;
  } catch (const std::exception& error) {
    problems.push_back(file.path + ": not valid YAML: " + printable_message(error.what()));
    return std::nullopt;
  }
  return builder.take_root();
}

} // namespace pkc::config
