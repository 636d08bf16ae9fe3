#include "document.hpp"
#include "quote.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <exception>
#include <sstream>
#include <utility>

namespace pkc::config {
namespace {

/// Takes the parser's events instead of its node tree: duplicates stay visible, an alias stays an
/// alias, and nothing is built for what is nested deeper than settings are. One thread at a time.
class Collector : public YAML::EventHandler {
 public:
  Collector(Document& document, const std::string& path) : document_(document), path_(path) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (std::exchange(any_document_, true)) {
      second_document_ = true;
      report(mark, "a second document begins; settings are one");
    }
    depth_ = 0;
    at_key_ = true;
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    if (depth_ == 0) {
      return; // a file of comments only
    }
    take(mark, Literal{.kind = Kind::other, .text = "nothing", .elements = {}});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t /*anchor*/) override {
    take(mark, Literal{.kind = Kind::other, .text = "an alias", .elements = {}});
  }

  void OnScalar(const YAML::Mark& mark,
                const std::string& tag,
                YAML::anchor_t /*anchor*/,
                const std::string& value) override {
    // The parser's own names for text without quotes and with quotes.
    if (tag == "?") {
      take(mark, Literal{.kind = Kind::plain, .text = value, .elements = {}});
    } else if (tag == "!") {
      take(mark, Literal{.kind = Kind::string, .text = value, .elements = {}});
    } else {
      take(mark, Literal{.kind = Kind::other, .text = "a value with a tag", .elements = {}});
    }
  }

  void OnSequenceStart(const YAML::Mark& mark,
                       const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/,
                       YAML::EmitterStyle::value /*style*/) override {
    take(mark, Literal{.kind = Kind::list, .text = "", .elements = {}});
    ++depth_;
  }
  void OnSequenceEnd() override { --depth_; }

  void OnMapStart(const YAML::Mark& mark,
                  const std::string& /*tag*/,
                  YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {
    if (depth_ > 0) {
      take(mark, Literal{.kind = Kind::other, .text = "a group of keys", .elements = {}});
    }
    ++depth_;
  }
  void OnMapEnd() override { --depth_; }

  [[nodiscard]] bool has_second_document() const { return second_document_; }

 private:
  void report(const YAML::Mark& mark, const std::string& problem) {
    document_.problems.push_back(file_place(path_, line_of(mark)) + ": " + problem);
  }

  static std::size_t line_of(const YAML::Mark& mark) {
    return static_cast<std::size_t>(mark.line) + 1;
  }

  void take(const YAML::Mark& mark, Literal literal) {
    if (depth_ == 0) {
      report(mark, "the file is not a list of `key: value` lines");
      is_map_ = false;
    } else if (!is_map_) {
      return;
    } else if (depth_ == 1 && at_key_) {
      take_key(mark, literal);
    } else if (depth_ == 1) {
      document_.entries.back().literal = std::move(literal);
      at_key_ = true;
    } else if (depth_ == 2) {
      take_element(literal);
    }
  }

  void take_key(const YAML::Mark& mark, const Literal& literal) {
    const bool is_text = literal.kind == Kind::plain || literal.kind == Kind::string;
    if (!is_text) {
      report(mark, "a key must be text");
    }
    document_.entries.push_back(Entry{.key = literal.text, .line = line_of(mark), .literal = {}});
    at_key_ = false;
  }

  void take_element(const Literal& literal) {
    Literal& list = document_.entries.back().literal;
    if (list.kind != Kind::list) {
      return; // inside a group, which is a problem already
    }
    if (literal.kind == Kind::plain || literal.kind == Kind::string) {
      list.elements.push_back(literal.text);
    } else {
      list =
          Literal{.kind = Kind::other, .text = "a list of other things than text", .elements = {}};
    }
  }

  Document& document_;
  const std::string& path_;
  int depth_ = 0; ///< of maps and lists that are open
  bool is_map_ = true;
  bool at_key_ = true;
  bool any_document_ = false;
  bool second_document_ = false;
};

} // namespace

Document parse_yaml(const ConfigFile& file) {
  Document document;
  Collector collector(document, file.path);
  try {
    std::istringstream stream(file.text);
    YAML::Parser parser(stream);
    // No further than the second document: yaml-cpp 0.7 finds documents for ever in `,"a":`.
    while (!collector.has_second_document() && parser.HandleNextDocument(collector)) {
    }
  } catch (const YAML::Exception& error) {
    drop_unfinished_entry(document);
    document.problems.push_back(
        file_place(file.path, static_cast<std::size_t>(error.mark.line) + 1) +
        ": not valid YAML: " + printable_message(error.msg));
  } catch (const std::exception& error) {
    drop_unfinished_entry(document);
    document.problems.push_back(file.path + ": not valid YAML: " + printable_message(error.what()));
  }
  return document;
}

} // namespace pkc::config
