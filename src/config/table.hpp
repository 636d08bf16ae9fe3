// The form of a row of the settings table, and what can be done with any row.
#pragma once

#include "pkc/config/settings.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace pkc::config {

/// How a value is written and read.
enum class Type {
  text,
  number,
  size,
  duration,
  boolean,
  choice,
  list
};

/// A value of any setting: text; number, size or index of a choice; duration; boolean; list.
using Value = std::
    variant<std::string, std::uint64_t, std::chrono::milliseconds, bool, std::vector<std::string>>;

/// Smallest and largest value; milliseconds for a duration.
struct Range {
  std::uint64_t min = 0;
  std::uint64_t max = std::numeric_limits<std::uint64_t>::max();
};

/// The typed side of a row: its place in Settings and what may stand there.
struct Field {
  Type type;
  std::string_view placeholder; ///< stands for the value in --help; empty for a choice
  Range range;                  ///< of number, size and duration; of the length of a text
  std::span<const std::string_view> choices;
  /// Checks a text, or each element of a list; null when anything goes.
  Result<void> (*check)(std::string_view);
  void (*set)(Settings&, const Value&);
  Value (*get)(const Settings&);
};

enum class Secret {
  no,
  yes
};

/// Whether a running server takes a new value.
enum class Reloadable {
  no,
  yes
};

/// Whether a settings file may hold it.
enum class InFile {
  yes,
  no
};

/// One setting. Its environment name and file key follow from its name.
struct Row {
  std::string_view name; ///< the flag, kebab-case
  std::string_view section;
  Field field;
  std::string_view initial; ///< the default, as one would write it
  std::string_view help;    ///< sentences; a size, range or default is printed beside it
  Secret secret = Secret::no;
  Reloadable reloadable = Reloadable::no;
  InFile in_file = InFile::yes;
};

/// Two settings of which the first may not be the larger one.
struct Order {
  std::string_view low;
  std::string_view high;
};

/// A setting that means nothing without another one.
struct Need {
  std::string_view name;
  std::string_view needs;
};

/// The table.
std::span<const Row> rows();
std::span<const Order> orders();
std::span<const Need> needs();

/// The row with that flag name; null when there is none.
const Row* find_row(std::string_view name);

/// "POLYKIT_CACHE_MAX_SIZE" of "max-size".
std::string environment_name(const Row& row);
/// "max_size" of "max-size".
std::string file_key(const Row& row);

constexpr std::string_view kEnvironmentPrefix = "POLYKIT_CACHE_";

/// Reads a value as it stands in a flag or variable. Errors: invalid_argument, with a message that
/// goes on from a quoted value ("is not …").
Result<Value> parse_value(const Field& field, std::string_view text);
/// A list, element by element. Errors like parse_value.
Result<Value> parse_list(const Field& field, const std::vector<std::string>& elements);
/// The shortest text that parse_value reads as `value`.
std::string format_value(const Field& field, const Value& value);
/// Like format_value, but *** for a secret.
std::string shown_value(const Row& row, const Settings& settings);

/// "SIZE", or "none|file|full".
std::string value_syntax(const Field& field);
/// "1 to 4096", "at least 1", or empty.
std::string range_text(const Field& field);

namespace detail {

template <typename T>
struct MemberType;
template <typename T>
struct MemberType<T Settings::*> {
  using Type = T;
};

} // namespace detail

/// A field held in Settings as `Stored`, and in a Value as `Held`.
template <auto Member, typename Held>
constexpr Field make_field(Type type, std::string_view placeholder, Range range = {}) {
  using Stored = typename detail::MemberType<decltype(Member)>::Type;
  return Field{
      .type = type,
      .placeholder = placeholder,
      .range = range,
      .choices = {},
      .check = nullptr,
      .set =
          [](Settings& settings, const Value& value) {
            if constexpr (std::is_same_v<Stored, Held>) {
              settings.*Member = std::get<Held>(value);
            } else {
              settings.*Member = static_cast<Stored>(std::get<Held>(value));
            }
          },
      .get =
          [](const Settings& settings) {
            if constexpr (std::is_same_v<Stored, Held>) {
              return Value(settings.*Member);
            } else {
              return Value(static_cast<Held>(settings.*Member));
            }
          },
  };
}

/// Text of one character or more.
template <auto Member>
constexpr Field text(std::string_view placeholder) {
  return make_field<Member, std::string>(Type::text, placeholder, Range{.min = 1});
}

template <auto Member>
constexpr Field optional_text(std::string_view placeholder) {
  return make_field<Member, std::string>(Type::text, placeholder);
}

template <auto Member>
constexpr Field number(std::string_view placeholder, Range range) {
  return make_field<Member, std::uint64_t>(Type::number, placeholder, range);
}

template <auto Member>
constexpr Field size(Range range) {
  return make_field<Member, std::uint64_t>(Type::size, "SIZE", range);
}

template <auto Member>
constexpr Field duration(std::chrono::milliseconds min, std::chrono::milliseconds max) {
  return make_field<Member, std::chrono::milliseconds>(
      Type::duration,
      "DURATION",
      Range{.min = static_cast<std::uint64_t>(min.count()),
            .max = static_cast<std::uint64_t>(max.count())});
}

template <auto Member>
constexpr Field boolean() {
  return make_field<Member, bool>(Type::boolean, "true|false");
}

/// An enumeration whose enumerators are, in order, `names`.
template <auto Member>
constexpr Field choice(std::span<const std::string_view> names) {
  Field field = make_field<Member, std::uint64_t>(Type::choice, "");
  field.choices = names;
  return field;
}

template <auto Member>
constexpr Field list(std::string_view placeholder, Result<void> (*check)(std::string_view)) {
  Field field = make_field<Member, std::vector<std::string>>(Type::list, placeholder);
  field.check = check;
  return field;
}

} // namespace pkc::config
