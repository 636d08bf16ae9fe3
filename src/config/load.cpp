#include "document.hpp"
#include "quote.hpp"
#include "table.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/config/reference.hpp"
#include "pkc/config/settings.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

namespace pkc::config {
namespace {

constexpr std::size_t kProblemsMax = 100;

/// Settings under construction: what the sources said so far, and what was wrong with it.
class Loader {
 public:
  Loader();

  void take_file(const ConfigFile& file);
  void take_environment(const std::vector<Assignment>& environment);
  void take_flags(const std::vector<Assignment>& flags);
  std::expected<LoadedSettings, Problems> finish() &&;

 private:
  void take_entry(const std::string& path, const Entry& entry);
  void assign(const Row& row, const Origin& origin, const Literal& literal);
  void report(std::string problem) { problems_.push_back(std::move(problem)); }
  void check_orders();
  void check_needs();
  [[nodiscard]] bool is_bad(const Row* row) const;
  [[nodiscard]] Origin& origin_of(const Row& row);

  LoadedSettings loaded_;
  Problems problems_;
  std::vector<const Row*> failed_; ///< rows with a value that was refused
};

Loader::Loader() {
  loaded_.settings = default_settings();
  for (const Row& row : rows()) {
    loaded_.origins.emplace_back(row.name, Origin{});
  }
}

Origin& Loader::origin_of(const Row& row) {
  return loaded_.origins[static_cast<std::size_t>(&row - rows().data())].second;
}

/// "; did you mean X?", or nothing.
template <typename Spell>
std::string suggestion(std::string_view name, Spell spell) {
  const std::string_view nearest = nearest_name(name, flag_names());
  if (nearest.empty()) {
    return "";
  }
  return "; did you mean " + spell(*find_row(nearest)) + "?";
}

/// The flag name that a variable or file key would have: lower case, with dashes.
std::string to_flag_name(std::string_view text) {
  std::string name(text);
  for (char& letter : name) {
    if (letter == '_') {
      letter = '-';
    } else if (letter >= 'A' && letter <= 'Z') {
      letter = static_cast<char>(letter - 'A' + 'a');
    }
  }
  return name;
}

/// What stands before a message: the place, and the name where the place does not tell it.
std::string subject(const Row& row, const Origin& origin) {
  return origin.kind == OriginKind::file ? origin.place + ": " + file_key(row) : origin.place;
}

/// "text", "a whole number", …: what a file may hold for the type.
std::string_view wanted(Type type) {
  switch (type) {
    case Type::text:
    case Type::choice:
      return "text";
    case Type::number:
      return "a whole number";
    case Type::size:
      return "a number of bytes or a size such as 5GiB";
    case Type::duration:
      return "a number of seconds or a duration such as 30s";
    case Type::boolean:
      return "true or false";
    case Type::list:
      return "a list of texts";
  }
  std::unreachable();
}

bool accepts(Type type, Kind kind) {
  switch (kind) {
    case Kind::plain:
      return true;
    case Kind::string:
      return type != Type::number && type != Type::boolean;
    case Kind::number:
      return type == Type::number || type == Type::size || type == Type::duration;
    case Kind::boolean:
      return type == Type::boolean;
    case Kind::list:
      return type == Type::list;
    case Kind::other:
      return false;
  }
  std::unreachable();
}

std::string_view name_of(const Literal& literal) {
  switch (literal.kind) {
    case Kind::plain:
    case Kind::string:
      return "text in quotes";
    case Kind::number:
      return "a number";
    case Kind::boolean:
      return "true or false";
    case Kind::list:
      return "a list";
    case Kind::other:
      return literal.text;
  }
  std::unreachable();
}

/// The value as the message quotes it. A secret is never quoted.
std::string shown(const Row& row, const Literal& literal) {
  if (row.secret == Secret::yes) {
    return "the value";
  }
  if (literal.kind != Kind::list) {
    return quoted(literal.text);
  }
  return literal.elements.size() == 1 ? quoted(literal.elements.front()) : "the list";
}

void Loader::assign(const Row& row, const Origin& origin, const Literal& literal) {
  if (!accepts(row.field.type, literal.kind)) {
    failed_.push_back(&row);
    report(subject(row, origin) + " needs " + std::string(wanted(row.field.type)) + ", not " +
           std::string(name_of(literal)));
    return;
  }
  auto value = literal.kind == Kind::list ? parse_list(row.field, literal.elements)
                                          : parse_value(row.field, literal.text);
  if (!value) {
    failed_.push_back(&row);
    report(subject(row, origin) + ": " + shown(row, literal) + " " + value.error().message);
    return;
  }
  row.field.set(loaded_.settings, *value);
  origin_of(row) = origin;
}

void Loader::take_entry(const std::string& path, const Entry& entry) {
  const std::string place = file_place(path, entry.line);
  std::string name(entry.key);
  std::ranges::replace(name, '_', '-');
  const Row* const row = find_row(name);
  if (row == nullptr) {
    report(place + ": unknown setting " + quoted(entry.key) +
           suggestion(to_flag_name(entry.key), file_key));
  } else if (row->in_file == InFile::no) {
    report(place + ": " + file_key(*row) + " cannot be set in a file, only by --" +
           std::string(row->name) + " or " + environment_name(*row));
  } else {
    assign(*row, Origin{.kind = OriginKind::file, .place = place}, entry.literal);
  }
}

void Loader::take_file(const ConfigFile& file) {
  const Document document = parse_document(file);
  problems_.insert(problems_.end(), document.problems.begin(), document.problems.end());
  std::vector<std::pair<const Row*, std::size_t>> seen; // with the line
  for (const Entry& entry : document.entries) {
    std::string name(entry.key);
    std::ranges::replace(name, '_', '-');
    const Row* const row = find_row(name);
    const auto first = std::ranges::find(seen, row, &std::pair<const Row*, std::size_t>::first);
    if (first != seen.end()) {
      report(file_place(file.path, entry.line) + ": " + file_key(*row) +
             " is set twice, first on line " + std::to_string(first->second));
    } else if (row != nullptr) {
      seen.emplace_back(row, entry.line);
    }
    take_entry(file.path, entry);
  }
}

/// Kubernetes and linked Docker containers describe a service named polykit-cache in variables of
/// their own that have our prefix, and one even has the name of a setting:
/// POLYKIT_CACHE_PORT=tcp://10.0.0.7:8080, POLYKIT_CACHE_SERVICE_HOST, POLYKIT_CACHE_PORT_8080_TCP.
bool is_service_link(std::string_view name, std::string_view value) {
  name.remove_prefix(kEnvironmentPrefix.size());
  constexpr std::array<std::string_view, 3> kSchemes = {"tcp://", "udp://", "sctp://"};
  if (name == "PORT") {
    return std::ranges::any_of(kSchemes,
                               [&](std::string_view scheme) { return value.starts_with(scheme); });
  }
  constexpr std::string_view kPort = "PORT_";
  return name.starts_with("SERVICE_HOST") || name.starts_with("SERVICE_PORT") ||
         (name.starts_with(kPort) && name.size() > kPort.size() && name[kPort.size()] >= '0' &&
          name[kPort.size()] <= '9');
}

void Loader::take_environment(const std::vector<Assignment>& environment) {
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kEnvironmentPrefix) || is_service_link(name, value)) {
      continue;
    }
    const std::string flag = to_flag_name(std::string_view(name).substr(kEnvironmentPrefix.size()));
    const Row* const row = find_row(flag);
    if (row == nullptr || environment_name(*row) != name) {
      report("unknown environment variable " + printable(name) +
             suggestion(flag, environment_name));
      continue;
    }
    assign(*row,
           Origin{.kind = OriginKind::environment, .place = name},
           Literal{.kind = Kind::plain, .text = value, .elements = {}});
  }
}

std::string flag_spelling(const Row& row) {
  return "--" + std::string(row.name);
}

void Loader::take_flags(const std::vector<Assignment>& flags) {
  std::vector<std::string_view> seen;
  for (const auto& [name, value] : flags) {
    const Row* const row = find_row(name);
    if (row == nullptr) {
      report("unknown flag --" + printable(name) + suggestion(name, flag_spelling));
      continue;
    }
    if (std::ranges::find(seen, name) != seen.end()) {
      report("--" + name + " is given more than once");
    }
    seen.emplace_back(name);
    assign(*row,
           Origin{.kind = OriginKind::flag, .place = flag_spelling(*row)},
           Literal{.kind = Kind::plain, .text = value, .elements = {}});
  }
}

/// Its value was refused: that is reported already, and nobody knows what was meant.
bool Loader::is_bad(const Row* row) const {
  return std::ranges::find(failed_, row) != failed_.end();
}

void Loader::check_orders() {
  for (const Order& order : orders()) {
    const Row* const low = find_row(order.low);
    const Row* const high = find_row(order.high);
    PKC_ASSERT(low != nullptr);
    PKC_ASSERT(high != nullptr);
    if (is_bad(low) || is_bad(high)) {
      continue;
    }
    // Both are of one type, and the variant compares their values then.
    if (low->field.get(loaded_.settings) > high->field.get(loaded_.settings)) {
      const auto named = [&](const Row& row) {
        return std::string(row.name) + " (" + shown_value(row, loaded_.settings) + ", " +
               origin_of(row).text() + ")";
      };
      report(named(*low) + " is more than " + named(*high));
    }
  }
}

void Loader::check_needs() {
  for (const Need& need : needs()) {
    const Row* const row = find_row(need.name);
    const Row* const needed = find_row(need.needs);
    PKC_ASSERT(row != nullptr);
    PKC_ASSERT(needed != nullptr);
    const auto is_set = [&](const Row& asked) {
      return asked.field.get(loaded_.settings) != *parse_value(asked.field, asked.initial);
    };
    if (!is_bad(row) && !is_bad(needed) && is_set(*row) && !is_set(*needed)) {
      report(std::string(row->name) + " (" + origin_of(*row).text() + ") needs " +
             std::string(needed->name) + ", which is not set");
    }
  }
}

std::expected<LoadedSettings, Problems> Loader::finish() && {
  check_orders();
  check_needs();
  if (problems_.empty()) {
    return std::move(loaded_);
  }
  if (problems_.size() > kProblemsMax) {
    const std::size_t more = problems_.size() - kProblemsMax;
    problems_.resize(kProblemsMax);
    problems_.push_back("and " + std::to_string(more) + " more problems");
  }
  return std::unexpected(std::move(problems_));
}

/// The path that the flag or else the variable gives for --config; empty when neither does.
std::string config_path(const Sources& sources) {
  const Row* const row = find_row("config");
  PKC_ASSERT(row != nullptr);
  const auto named = [](std::string name) {
    return
        [name = std::move(name)](const Assignment& assignment) { return assignment.first == name; };
  };
  const auto flag = std::ranges::find_if(sources.flags, named(std::string(row->name)));
  if (flag != sources.flags.end()) {
    return flag->second;
  }
  const auto variable = std::ranges::find_if(sources.environment, named(environment_name(*row)));
  return variable == sources.environment.end() ? std::string() : variable->second;
}

Result<ConfigFile> read_config_file(FileSystem& file_system, const std::string& path) {
  TRY_ASSIGN(const auto file, file_system.open(follow_links(path)));
  if (file == nullptr) {
    return fail(Errc::invalid_argument, "there is no such file");
  }
  ConfigFile config{.path = path, .text = {}};
  // One byte more than allowed, so that the parser's own check sees a file that is too large.
  config.text.resize(kConfigFileSizeMax + 1);
  std::size_t length = 0;
  while (length < config.text.size()) {
    const MutableByteSpan rest =
        std::as_writable_bytes(std::span(config.text.data() + length, config.text.size() - length));
    TRY_ASSIGN(const std::size_t count, file->read_at(length, rest));
    if (count == 0) {
      break;
    }
    length += count;
  }
  config.text.resize(length);
  return config;
}

} // namespace

std::string Origin::text() const {
  switch (kind) {
    case OriginKind::initial:
      return "default";
    case OriginKind::file:
      return "file " + place;
    case OriginKind::environment:
      return "environment " + place;
    case OriginKind::flag:
      return "flag " + place;
  }
  std::unreachable();
}

Settings default_settings() {
  Settings settings;
  for (const Row& row : rows()) {
    const auto value = parse_value(row.field, row.initial);
    PKC_ASSERT(value.has_value());
    row.field.set(settings, *value);
  }
  return settings;
}

std::expected<LoadedSettings, Problems> load_settings(const Sources& sources) {
  Loader loader;
  if (sources.file) {
    loader.take_file(*sources.file);
  }
  loader.take_environment(sources.environment);
  loader.take_flags(sources.flags);
  return std::move(loader).finish();
}

std::expected<LoadedSettings, Problems> load_settings(Sources sources, FileSystem& file_system) {
  const std::string path = config_path(sources);
  Problems unreadable;
  if (!path.empty()) {
    auto file = read_config_file(file_system, path);
    if (file) {
      sources.file = *std::move(file);
    } else {
      unreadable.push_back(printable(path) + ": cannot be read: " + file.error().message);
    }
  }
  auto loaded = load_settings(sources);
  if (unreadable.empty()) {
    return loaded;
  }
  if (!loaded) {
    unreadable.insert(unreadable.end(), loaded.error().begin(), loaded.error().end());
  }
  return std::unexpected(std::move(unreadable));
}

} // namespace pkc::config
