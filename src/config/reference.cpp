#include "pkc/config/reference.hpp"

#include "table.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pkc::config {
namespace {

constexpr std::size_t kLineWidth = 80;

/// Breaks `text` into lines of at most `width` bytes, each behind `indent`.
std::string wrapped(std::string_view text, std::string_view indent) {
  std::string result;
  std::size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (column != 0 && column + 1 + word.size() > kLineWidth) {
      result += '\n';
      column = 0;
    }
    result.append(column == 0 ? indent : " ").append(word);
    column += (column == 0 ? indent.size() : 1) + word.size();
  }
  return result + "\n";
}

/// The value that a YAML file would hold.
std::string yaml_value(const Row& row) {
  const auto value = parse_value(row.field, row.initial);
  const std::string text = format_value(row.field, *value);
  if (row.field.type != Type::list) {
    return text.empty() ? R"("")" : text;
  }
  return "[" + text + "]";
}

/// "`SIZE`, 1KiB to 1MiB".
std::string values_text(const Field& field) {
  const std::string range = range_text(field);
  return range.empty() ? value_syntax(field) : value_syntax(field) + ", " + range;
}

std::string default_text(const Row& row) {
  return row.initial.empty() ? "none" : std::string(row.initial);
}

/// Text for one cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string result;
  for (const char letter : text) {
    result += letter == '|' ? std::string("\\|") : std::string(1, letter);
  }
  return result;
}

/// What a help text begins with, up to where it goes into detail.
std::string_view first_clause(std::string_view help) {
  std::size_t end = help.ends_with('.') ? help.size() - 1 : help.size();
  for (const std::string_view mark : {". ", "; ", ": "}) {
    end = std::min(end, help.find(mark));
  }
  return help.substr(0, end);
}

Completion completion_of(const Field& field) {
  if (field.type == Type::choice || field.type == Type::boolean) {
    return Completion::words;
  }
  if (field.placeholder == "FILE") {
    return Completion::files;
  }
  return field.placeholder == "DIR" ? Completion::directories : Completion::none;
}

} // namespace

std::vector<FlagSummary> flag_summaries() {
  std::vector<FlagSummary> summaries;
  for (const Row& row : rows()) {
    FlagSummary summary{.name = row.name,
                        .summary = first_clause(row.help),
                        .placeholder = row.field.placeholder,
                        .completion = completion_of(row.field),
                        .words = {row.field.choices.begin(), row.field.choices.end()}};
    if (row.field.type == Type::boolean) {
      summary.placeholder = {};
      summary.words = {"true", "false"};
    }
    summaries.push_back(std::move(summary));
  }
  return summaries;
}

std::vector<std::string_view> flag_names() {
  std::vector<std::string_view> names;
  for (const Row& row : rows()) {
    names.push_back(row.name);
  }
  return names;
}

std::string help_text() {
  std::string text;
  std::string_view section;
  for (const Row& row : rows()) {
    if (row.section != section) {
      text.append(text.empty() ? "" : "\n").append(row.section).append(":\n");
      section = row.section;
    }
    const std::string range = range_text(row.field);
    text.append("  --").append(row.name).append(" ").append(value_syntax(row.field)).append("\n");
    text += wrapped(row.help, "        ");
    text += "        [default: " + default_text(row) + (range.empty() ? "" : "; " + range) + "]\n";
  }
  return text;
}

std::string sample_file() {
  std::string text =
      "# Settings of polykit-cache. Each is shown with its default; remove the # in front of the\n"
      "# ones to change. `polykit-cache config check --config FILE` tells what is wrong with a "
      "file.\n";
  std::string_view section;
  for (const Row& row : rows()) {
    if (row.in_file == InFile::no) {
      continue;
    }
    if (row.section != section) {
      text.append("\n# ---- ").append(row.section).append("\n");
      section = row.section;
    }
    text += "\n" + wrapped(row.help, "# ");
    text += wrapped("Values: " + values_text(row.field), "# ");
    text += "#" + file_key(row) + ": " + yaml_value(row) + "\n";
  }
  return text;
}

std::string readme_table() {
  std::string text =
      "| Flag | Values | Default | Meaning |\n"
      "|---|---|---|---|\n";
  for (const Row& row : rows()) {
    text.append("| `--").append(row.name).append("` | ");
    text.append(cell(values_text(row.field))).append(" | ");
    text.append(row.initial.empty() ? "" : "`" + std::string(row.initial) + "`").append(" | ");
    text.append(cell(row.help)).append(" |\n");
  }
  return text;
}

} // namespace pkc::config
