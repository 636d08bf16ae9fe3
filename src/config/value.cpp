#include "table.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/clock.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

namespace pkc::config {
namespace {

/// A number of the field's kind as an operator would write it.
std::string format_number(Type type, std::uint64_t number) {
  if (type == Type::size) {
    return format_byte_count(number);
  }
  if (type == Type::duration) {
    return format_duration(std::chrono::milliseconds(static_cast<std::int64_t>(number)));
  }
  return std::to_string(number);
}

Result<void> check_range(const Field& field, std::uint64_t number) {
  if (number < field.range.min) {
    return fail(Errc::invalid_argument,
                "is less than " + format_number(field.type, field.range.min) + ", the minimum");
  }
  if (number > field.range.max) {
    return fail(Errc::invalid_argument,
                "is more than " + format_number(field.type, field.range.max) + ", the maximum");
  }
  return {};
}

Result<Value> parse_text(const Field& field, std::string_view text) {
  if (text.size() < field.range.min) {
    return fail(Errc::invalid_argument, "must not be empty");
  }
  // The operating system would see only what stands before it.
  if (text.find('\0') != std::string_view::npos) {
    return fail(Errc::invalid_argument, "must not hold a zero byte");
  }
  if (field.check != nullptr) {
    TRY(field.check(text));
  }
  return Value(std::string(text));
}

Result<Value> parse_number(const Field& field, std::string_view text) {
  std::uint64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) {
    return fail(Errc::invalid_argument,
                "is more than " + format_number(field.type, field.range.max) + ", the maximum");
  }
  if (error != std::errc{} || rest != text.data() + text.size()) {
    return fail(Errc::invalid_argument, "is not a whole number");
  }
  TRY(check_range(field, number));
  return Value(number);
}

Result<Value> parse_size(const Field& field, std::string_view text) {
  const auto parsed = parse_byte_count(text);
  if (!parsed) {
    return fail(Errc::invalid_argument,
                "is not a size up to 16 EiB such as 1073741824, 512KiB or 5GiB");
  }
  TRY(check_range(field, *parsed));
  return Value(*parsed);
}

Result<Value> parse_time(const Field& field, std::string_view text) {
  const auto parsed = parse_duration(text);
  if (!parsed) {
    return fail(Errc::invalid_argument, "is not a duration such as 500ms, 30s, 10m, 2h or 1d");
  }
  TRY(check_range(field, static_cast<std::uint64_t>(parsed->count())));
  return Value(*parsed);
}

Result<Value> parse_boolean(std::string_view text) {
  if (text == "true" || text == "false") {
    return Value(text == "true");
  }
  return fail(Errc::invalid_argument, "is neither true nor false");
}

std::string join(std::span<const std::string_view> words, std::string_view separator) {
  std::string joined;
  for (const std::string_view word : words) {
    joined.append(joined.empty() ? "" : separator).append(word);
  }
  return joined;
}

Result<Value> parse_choice(const Field& field, std::string_view text) {
  const auto found = std::ranges::find(field.choices, text);
  if (found == field.choices.end()) {
    return fail(Errc::invalid_argument, "is none of " + join(field.choices, ", "));
  }
  return Value(static_cast<std::uint64_t>(found - field.choices.begin()));
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> elements;
  if (trimmed(text).empty()) {
    return elements;
  }
  while (true) {
    const std::size_t comma = text.find(',');
    elements.emplace_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) {
      return elements;
    }
    text.remove_prefix(comma + 1);
  }
}

std::string choice_name(const Field& field, std::uint64_t index) {
  PKC_ASSERT(index < field.choices.size());
  return std::string(field.choices[index]);
}

} // namespace

Result<Value> parse_value(const Field& field, std::string_view text) {
  switch (field.type) {
    case Type::text:
      return parse_text(field, text);
    case Type::number:
      return parse_number(field, text);
    case Type::size:
      return parse_size(field, text);
    case Type::duration:
      return parse_time(field, text);
    case Type::boolean:
      return parse_boolean(text);
    case Type::choice:
      return parse_choice(field, text);
    case Type::list:
      return parse_list(field, split_list(text));
  }
  std::unreachable();
}

Result<Value> parse_list(const Field& field, const std::vector<std::string>& elements) {
  for (const std::string& element : elements) {
    if (element.empty()) {
      return fail(Errc::invalid_argument, "has an empty element");
    }
    if (field.check != nullptr) {
      if (auto checked = field.check(element); !checked) {
        // With one element the caller has quoted it already.
        return fail(Errc::invalid_argument,
                    elements.size() == 1 ? checked.error().message
                                         : "has an element that " + checked.error().message);
      }
    }
  }
  return Value(elements);
}

std::string format_value(const Field& field, const Value& value) {
  switch (field.type) {
    case Type::text:
      return std::get<std::string>(value);
    case Type::number:
    case Type::size:
      return format_number(field.type, std::get<std::uint64_t>(value));
    case Type::duration:
      return format_duration(std::get<std::chrono::milliseconds>(value));
    case Type::boolean:
      return std::get<bool>(value) ? "true" : "false";
    case Type::choice:
      return choice_name(field, std::get<std::uint64_t>(value));
    case Type::list: {
      const auto& elements = std::get<std::vector<std::string>>(value);
      const std::vector<std::string_view> words(elements.begin(), elements.end());
      return join(words, ",");
    }
  }
  std::unreachable();
}

std::string shown_value(const Row& row, const Settings& settings) {
  return row.secret == Secret::yes ? "***" : format_value(row.field, row.field.get(settings));
}

std::string value_syntax(const Field& field) {
  return field.type == Type::choice ? join(field.choices, "|") : std::string(field.placeholder);
}

std::string range_text(const Field& field) {
  if (field.type != Type::number && field.type != Type::size && field.type != Type::duration) {
    return "";
  }
  const bool bounded_above = field.range.max != std::numeric_limits<std::uint64_t>::max();
  if (bounded_above) {
    return format_number(field.type, field.range.min) + " to " +
           format_number(field.type, field.range.max);
  }
  return field.range.min == 0 ? "" : "at least " + format_number(field.type, field.range.min);
}

} // namespace pkc::config
