#include "document.hpp"
#include "quote.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <exception>
#include <string_view>
#include <utility>

namespace pkc::config {
namespace {

Literal list_literal(const toml::array& array) {
  Literal list{.kind = Kind::list, .text = "", .elements = {}};
  for (const toml::node& element : array) {
    const auto* const text = element.as_string();
    if (text == nullptr) {
      return Literal{
          .kind = Kind::other, .text = "a list of other things than text", .elements = {}};
    }
    list.elements.push_back(text->get());
  }
  return list;
}

Literal to_literal(const toml::node& value) {
  if (const auto* const text = value.as_string()) {
    return Literal{.kind = Kind::string, .text = text->get(), .elements = {}};
  }
  if (const auto* const number = value.as_integer()) {
    return Literal{.kind = Kind::number, .text = std::to_string(number->get()), .elements = {}};
  }
  if (const auto* const boolean = value.as_boolean()) {
    return Literal{
        .kind = Kind::boolean, .text = boolean->get() ? "true" : "false", .elements = {}};
  }
  if (const auto* const array = value.as_array()) {
    return list_literal(*array);
  }
  if (value.is_table()) {
    return Literal{.kind = Kind::other, .text = "a group of keys", .elements = {}};
  }
  if (value.is_floating_point()) {
    return Literal{.kind = Kind::other, .text = "a fraction", .elements = {}};
  }
  return Literal{.kind = Kind::other, .text = "a date or time", .elements = {}};
}

} // namespace

Document parse_toml(const ConfigFile& file) {
  Document document;
  try {
    const toml::table root = toml::parse(std::string_view(file.text), std::string_view(file.path));
    for (const auto& [key, value] : root) {
      document.entries.push_back(Entry{.key = std::string(key.str()),
                                       .line = value.source().begin.line,
                                       .literal = to_literal(value)});
    }
    // The table is sorted by name; the operator reads from the top.
    std::ranges::stable_sort(document.entries, {}, &Entry::line);
  } catch (const toml::parse_error& error) {
    document.problems.push_back(file_place(file.path, error.source().begin.line) +
                                ": not valid TOML: " + printable_message(error.description()));
  } catch (const std::exception& error) {
    document.problems.push_back(file.path + ": not valid TOML: " + printable_message(error.what()));
  }
  return document;
}

} // namespace pkc::config
