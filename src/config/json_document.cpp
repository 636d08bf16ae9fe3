#include "document.hpp"
#include "json_lines.hpp"
#include "quote.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <exception>
#include <utility>

namespace pkc::config {
namespace {

/// Takes the parser's events instead of its tree: duplicates stay visible, and nothing is built for
/// what is nested deeper than settings are. One thread at a time.
class Collector : public nlohmann::json_sax<nlohmann::json> {
 public:
  Collector(Document& document, const std::string& path, const std::size_t& line)
      : document_(document), path_(path), line_(line) {}

  bool null() override { return take({.kind = Kind::other, .text = "nothing", .elements = {}}); }
  bool boolean(bool value) override {
    return take({.kind = Kind::boolean, .text = value ? "true" : "false", .elements = {}});
  }
  bool number_integer(std::int64_t value) override {
    return take({.kind = Kind::number, .text = std::to_string(value), .elements = {}});
  }
  bool number_unsigned(std::uint64_t value) override {
    return take({.kind = Kind::number, .text = std::to_string(value), .elements = {}});
  }
  bool number_float(double /*value*/, const std::string& /*text*/) override {
    return take({.kind = Kind::other, .text = "a fraction", .elements = {}});
  }
  bool string(std::string& value) override {
    return take({.kind = Kind::string, .text = value, .elements = {}});
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override { return true; } // not in JSON text

  bool start_object(std::size_t /*elements*/) override {
    if (depth_ > 0) {
      take({.kind = Kind::other, .text = "a group of keys", .elements = {}});
    }
    ++depth_;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t /*elements*/) override {
    const bool go_on = take({.kind = Kind::list, .text = "", .elements = {}});
    ++depth_;
    return go_on;
  }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      document_.entries.push_back(Entry{.key = name, .line = line_, .literal = {}});
    }
    return true;
  }

  bool parse_error(std::size_t /*position*/,
                   const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    drop_unfinished_entry(document_);
    document_.problems.push_back(file_place(path_, line_) + ": not valid JSON: " +
                                 printable_message(json_message(error.what())));
    return false;
  }

 private:
  bool close() {
    --depth_;
    return true;
  }

  /// False stops the parser.
  bool take(Literal literal) {
    if (depth_ == 0) {
      document_.problems.push_back(file_place(path_, line_) +
                                   ": the file is not one JSON object of settings");
      return false;
    }
    if (depth_ == 1) {
      document_.entries.back().literal = std::move(literal);
      return true;
    }
    Literal& list = document_.entries.back().literal;
    if (depth_ == 2 && list.kind == Kind::list) {
      if (literal.kind == Kind::string) {
        list.elements.push_back(std::move(literal.text));
      } else {
        list = {.kind = Kind::other, .text = "a list of other things than text", .elements = {}};
      }
    }
    return true;
  }

  Document& document_;
  const std::string& path_;
  const std::size_t& line_;
  std::size_t depth_ = 0; ///< of objects and arrays that are open
};

} // namespace

Document parse_json(const ConfigFile& file) {
  Document document;
  std::size_t line = 1;
  Collector collector(document, file.path, line);
  try {
    const char* const begin = file.text.data();
    nlohmann::json::sax_parse(
        LineCounter(begin, &line), LineCounter(begin + file.text.size(), &line), &collector);
  } catch (const std::exception& error) {
    drop_unfinished_entry(document);
    document.problems.push_back(file.path + ": not valid JSON: " + printable_message(error.what()));
  }
  return document;
}

} // namespace pkc::config
