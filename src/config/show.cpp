#include "table.hpp"

#include "pkc/config/reference.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pkc::config {
namespace {

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

std::string_view kind_name(OriginKind kind) {
  switch (kind) {
    case OriginKind::initial:
      return "default";
    case OriginKind::file:
      return "file";
    case OriginKind::environment:
      return "environment";
    case OriginKind::flag:
      return "flag";
  }
  std::unreachable();
}

nlohmann::ordered_json json_value(const Row& row, const Settings& settings) {
  const Value value = row.field.get(settings);
  if (row.secret == Secret::no) {
    if (row.field.type == Type::number || row.field.type == Type::size) {
      return std::get<std::uint64_t>(value);
    }
    if (row.field.type == Type::boolean) {
      return std::get<bool>(value);
    }
    if (row.field.type == Type::list) {
      return std::get<std::vector<std::string>>(value);
    }
  }
  return shown_value(row, settings);
}

} // namespace

std::string show_text(const LoadedSettings& loaded) {
  std::size_t name_width = 0;
  std::size_t value_width = 0;
  for (const Row& row : rows()) {
    name_width = std::max(name_width, row.name.size());
    value_width = std::max(value_width, shown_value(row, loaded.settings).size());
  }
  std::string text;
  for (const auto& [name, origin] : loaded.origins) {
    const Row& row = *find_row(name);
    text += padded(std::string(name), name_width) + "  ";
    text +=
        padded(shown_value(row, loaded.settings), std::min<std::size_t>(value_width, 40)) + "  ";
    text += origin.text() + "\n";
  }
  return text;
}

std::string show_json(const LoadedSettings& loaded) {
  nlohmann::ordered_json document = nlohmann::ordered_json::object();
  for (const auto& [name, origin] : loaded.origins) {
    const Row& row = *find_row(name);
    document[file_key(row)] = {{"value", json_value(row, loaded.settings)},
                               {"origin", kind_name(origin.kind)},
                               {"place", origin.place},
                               {"reloadable", row.reloadable == Reloadable::yes}};
  }
  // Paths need not be UTF-8, and a strict dump would throw.
  return document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

} // namespace pkc::config
