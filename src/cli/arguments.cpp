#include "arguments.hpp"

#include "pkc/config/reference.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>
#include <ranges>
#include <system_error>
#include <utility>

namespace pkc::cli {
namespace {

constexpr std::string_view kDashes = "--";

std::string with_dashes(std::string_view name) {
  return std::string(kDashes).append(name);
}

/// Whether some command has the option, and none gives it a value.
bool takes_no_value(std::string_view name, std::span<const Syntax> commands) {
  return std::ranges::any_of(commands, [&](const Syntax& syntax) {
    return std::ranges::any_of(syntax.options, [&](const Option& option) {
      return option.name == name && option.value.empty();
    });
  });
}

/// Makes two words of `--name=value`. CLI11 would do that too, but takes `--name=` for a flag whose
/// value is the next word, and the value of one that takes none for an operand.
std::vector<std::string> split_assignments(const std::vector<std::string>& words,
                                           std::span<const Syntax> commands,
                                           config::Problems& problems) {
  std::vector<std::string> result;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    if (!word.starts_with(kDashes) || equals == std::string::npos) {
      result.push_back(word);
      continue;
    }
    result.push_back(word.substr(0, equals));
    if (takes_no_value(std::string_view(word).substr(2, equals - 2), commands)) {
      problems.push_back(result.back() + " takes no value");
    } else {
      result.push_back(word.substr(equals + 1));
    }
  }
  return result;
}

/// CLI11's parser, told about our commands and flags, and its verdict turned into Arguments. Used
/// once.
class Parser {
 public:
  explicit Parser(std::span<const Syntax> commands);
  /// `literal` are the words behind --, which are operands whatever they look like.
  Arguments parse(std::vector<std::string> words, const std::vector<std::string>& literal);

 private:
  struct Taken {
    std::string_view command; ///< empty: a flag of the settings
    std::string_view name;
    Option::Times times;
    CLI::Option* found;
  };

  CLI::App& subcommand(CLI::App& parent, const std::string& name);
  void add(CLI::App& app, std::string_view command, const Option& option);
  void take_command();
  void take_values(const Taken& taken);
  void take_leftovers(const std::vector<std::string>& words);
  void take_operand(const std::string& word);
  void take_unknown_flag(const std::string& name);
  void check_operands();
  [[nodiscard]] const Syntax* syntax() const;
  [[nodiscard]] std::string suggestion(const std::string& word) const;

  std::span<const Syntax> commands_;
  CLI::App app_;
  std::vector<Taken> taken_;
  bool part_of_mistake_ = false; ///< a word may have been, so that one too many or too few is none
  Arguments arguments_;
};

Parser::Parser(std::span<const Syntax> commands) : commands_(commands) {
  // The help is generated from our tables, and mistakes are collected, not thrown.
  app_.set_help_flag("");
  app_.allow_extras();
  app_.fallthrough();
  app_.require_subcommand(0, 1);
  app_.add_flag("-h,--help", arguments_.help);
  app_.add_flag("-V,--version", arguments_.version);
  for (const std::string_view name : config::flag_names()) {
    add(app_, "", {.name = name, .value = "VALUE", .help = "", .times = Option::Times::many});
  }
  for (const Syntax& command : commands) {
    const std::size_t blank = command.command.find(' ');
    CLI::App* app = &subcommand(app_, std::string(command.command.substr(0, blank)));
    if (blank != std::string_view::npos) {
      app = &subcommand(*app, std::string(command.command.substr(blank + 1)));
    }
    for (const Option& option : command.options) {
      add(*app, command.command, option);
    }
  }
}

CLI::App& Parser::subcommand(CLI::App& parent, const std::string& name) {
  const auto known =
      parent.get_subcommands([&name](const CLI::App* app) { return app->get_name() == name; });
  return known.empty() ? *parent.add_subcommand(name)->require_subcommand(0, 1) : *known.front();
}

void Parser::add(CLI::App& app, std::string_view command, const Option& option) {
  const std::string flag = with_dashes(option.name);
  CLI::Option* const added = option.value.empty()
                                 ? app.add_flag(flag)
                                 : app.add_option(flag, [](const CLI::results_t&) { return true; });
  added->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  taken_.push_back(
      {.command = command, .name = option.name, .times = option.times, .found = added});
}

Arguments Parser::parse(std::vector<std::string> words, const std::vector<std::string>& literal) {
  try {
    // CLI11 wants the words from last to first.
    app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ArgumentMismatch&) {
    // Only the last word can lack its value.
    arguments_.problems.push_back(words.back() + " needs a value");
    return std::move(arguments_);
  } catch (const CLI::ParseError& error) {
    arguments_.problems.emplace_back(error.what());
    return std::move(arguments_);
  }
  take_command();
  for (const Taken& taken : taken_) {
    take_values(taken);
  }
  take_leftovers(app_.remaining(true));
  for (const std::string& word : literal) {
    take_operand(word);
  }
  check_operands();
  return std::move(arguments_);
}

void Parser::take_command() {
  for (const CLI::App* group : app_.get_subcommands()) {
    arguments_.command = group->get_name();
    for (const CLI::App* member : group->get_subcommands()) {
      arguments_.command += " " + member->get_name();
    }
  }
}

void Parser::take_values(const Taken& taken) {
  const bool takes_value = taken.found->get_items_expected_max() > 0;
  if (taken.times == Option::Times::once && taken.found->count() > 1) {
    arguments_.problems.push_back(with_dashes(taken.name) + " is given more than once");
  }
  auto& target = taken.command.empty() ? arguments_.flags : arguments_.options;
  for (const std::string& value : taken.found->results()) {
    if (takes_value && value.starts_with(kDashes)) {
      // CLI11 gives the next word to a flag whatever it is; one that begins like a flag is
      // nobody's directory or host name.
      arguments_.problems.push_back(with_dashes(taken.name) + " needs a value in front of " +
                                    value);
    } else {
      target.emplace_back(taken.name, takes_value ? value : std::string());
    }
  }
}

const Syntax* Parser::syntax() const {
  const auto found = std::ranges::find(commands_, arguments_.command, &Syntax::command);
  return found == commands_.end() ? nullptr : &*found;
}

void Parser::take_leftovers(const std::vector<std::string>& words) {
  bool after_unknown_flag = false;
  for (const std::string& word : words) {
    if (word.starts_with(kDashes) && word.size() > 2) {
      take_unknown_flag(word.substr(2));
      after_unknown_flag = true;
    } else if (word.starts_with('-') && word.size() > 1) {
      arguments_.problems.push_back("unknown flag " + word);
      after_unknown_flag = true;
    } else if (std::exchange(after_unknown_flag, false)) {
      part_of_mistake_ = true; // perhaps its value: that is not another mistake
    } else {
      take_operand(word);
    }
  }
}

void Parser::take_operand(const std::string& word) {
  const Syntax* const known = syntax();
  if (known != nullptr && arguments_.operands.size() < known->operands.max) {
    arguments_.operands.push_back(word);
  } else if (!part_of_mistake_) {
    arguments_.problems.push_back("unexpected argument \"" + word + "\"" + suggestion(word));
    part_of_mistake_ = arguments_.command.empty(); // what follows may be of an unknown command
  }
}

/// A misspelt option of the command is told here, as nobody else knows those; everything else is
/// for whoever loads the settings.
void Parser::take_unknown_flag(const std::string& name) {
  std::vector<std::string_view> options;
  if (const Syntax* const known = syntax()) {
    std::ranges::transform(known->options, std::back_inserter(options), &Option::name);
  }
  std::vector<std::string_view> all = config::flag_names();
  all.insert(all.end(), options.begin(), options.end());
  const std::string_view nearest = config::nearest_name(name, all);
  if (std::ranges::find(options, nearest) == options.end()) {
    arguments_.flags.emplace_back(name, "");
  } else if (nearest == name) {
    arguments_.problems.push_back(with_dashes(name) + " must stand behind " + arguments_.command);
  } else {
    arguments_.problems.push_back("unknown flag " + with_dashes(name) + "; did you mean " +
                                  with_dashes(nearest) + "?");
  }
}

void Parser::check_operands() {
  const Syntax* const known = syntax();
  if (known != nullptr && !part_of_mistake_ && arguments_.operands.size() < known->operands.min) {
    arguments_.problems.push_back(arguments_.command + " needs " +
                                  std::string(known->operands.syntax));
  }
}

std::string Parser::suggestion(const std::string& word) const {
  std::vector<std::string_view> known;
  for (const Syntax& command : commands_) {
    known.push_back(command.command);
  }
  for (const Syntax& command : commands_) { // a group may be misspelt too
    known.push_back(command.command.substr(0, command.command.find(' ')));
  }
  const std::string begun = arguments_.command.empty() ? word : arguments_.command + " " + word;
  const std::string_view nearest = config::nearest_name(begun, known);
  return nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?";
}

} // namespace

bool Arguments::has(std::string_view option) const {
  return std::ranges::find(options, option, &config::Assignment::first) != options.end();
}

std::optional<std::string> Arguments::value(std::string_view option) const {
  for (const auto& [name, text] : std::views::reverse(options)) {
    if (name == option) {
      return text;
    }
  }
  return std::nullopt;
}

Arguments parse_arguments(const std::vector<std::string>& words, std::span<const Syntax> commands) {
  const auto mark = std::ranges::find(words, kDashes);
  const auto literal = mark == words.end() ? mark : std::next(mark);
  config::Problems problems;
  Arguments arguments = Parser(commands).parse(
      split_assignments({words.begin(), mark}, commands, problems), {literal, words.end()});
  std::ranges::move(problems, std::back_inserter(arguments.problems));
  return arguments;
}

std::uint64_t take_number(Arguments& arguments, std::string_view option, const NumberRange& range) {
  const auto text = arguments.value(option);
  if (!text) {
    return range.initial;
  }
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [rest, error] = std::from_chars(text->data(), end, number);
  if (error == std::errc{} && rest == end && number >= range.min && number <= range.max) {
    return number;
  }
  arguments.problems.push_back(with_dashes(option) + " takes a whole number from " +
                               std::to_string(range.min) + " to " + std::to_string(range.max) +
                               ", not \"" + *text + "\"");
  return range.initial;
}

} // namespace pkc::cli
