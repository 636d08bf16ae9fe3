#include "arguments.hpp"

#include "pkc/config/reference.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace pkc::cli {
namespace {

/// Makes two words of `--name=value`. CLI11 would do that too, but takes `--name=` for a flag whose
/// value is the next word.
std::vector<std::string> split_assignments(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  bool flags_ended = false;
  for (const std::string& word : words) {
    flags_ended = flags_ended || word == "--";
    const std::size_t equals = word.find('=');
    if (flags_ended || !word.starts_with("--") || equals == std::string::npos) {
      result.push_back(word);
    } else {
      result.push_back(word.substr(0, equals));
      result.push_back(word.substr(equals + 1));
    }
  }
  return result;
}

/// CLI11's parser, told about our commands and flags, and its verdict turned into Arguments. Used
/// once.
class Parser {
 public:
  explicit Parser(const std::vector<std::string_view>& commands);
  Arguments parse(std::vector<std::string> words);

 private:
  CLI::App& subcommand(CLI::App& parent, const std::string& name);
  void take_command();
  void take_flags();
  void take_leftovers(const std::vector<std::string>& words);
  [[nodiscard]] std::string suggestion(const std::string& word) const;

  const std::vector<std::string_view>& commands_;
  CLI::App app_;
  std::vector<std::pair<std::string_view, CLI::Option*>> options_;
  Arguments arguments_;
};

Parser::Parser(const std::vector<std::string_view>& commands) : commands_(commands) {
  // The help is generated from the settings table, and mistakes are collected, not thrown.
  app_.set_help_flag("");
  app_.allow_extras();
  app_.fallthrough();
  app_.require_subcommand(0, 1);
  app_.add_flag("-h,--help", arguments_.help);
  app_.add_flag("-V,--version", arguments_.version);
  for (const std::string_view name : config::flag_names()) {
    CLI::Option* const option =
        app_.add_option("--" + std::string(name), [](const CLI::results_t&) { return true; });
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    options_.emplace_back(name, option);
  }
  for (const std::string_view command : commands) {
    const std::size_t blank = command.find(' ');
    CLI::App& group = subcommand(app_, std::string(command.substr(0, blank)));
    if (blank != std::string_view::npos) {
      CLI::App& member = subcommand(group, std::string(command.substr(blank + 1)));
      if (command == "config show") {
        member.add_flag("--json", arguments_.json);
      }
    }
  }
}

CLI::App& Parser::subcommand(CLI::App& parent, const std::string& name) {
  const auto known =
      parent.get_subcommands([&name](const CLI::App* app) { return app->get_name() == name; });
  return known.empty() ? *parent.add_subcommand(name)->require_subcommand(0, 1) : *known.front();
}

Arguments Parser::parse(std::vector<std::string> words) {
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
  take_flags();
  take_leftovers(app_.remaining(true));
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

void Parser::take_flags() {
  for (const auto& [name, option] : options_) {
    for (const std::string& value : option->results()) {
      if (value.starts_with("--")) {
        // CLI11 gives the next word to a flag whatever it is; one that begins like a flag is
        // nobody's directory or host name.
        arguments_.problems.push_back("--" + std::string(name) + " needs a value in front of " +
                                      value);
      } else {
        arguments_.flags.emplace_back(name, value);
      }
    }
  }
}

void Parser::take_leftovers(const std::vector<std::string>& words) {
  bool after_unknown_flag = false;
  bool after_unknown_command = false;
  for (const std::string& word : words) {
    if (word.starts_with("--") && word.size() > 2) {
      arguments_.flags.emplace_back(word.substr(2), "");
      after_unknown_flag = true;
    } else if (word.starts_with('-') && word.size() > 1 && word != "--") {
      arguments_.problems.push_back("unknown flag " + word);
      after_unknown_flag = true;
    } else if (std::exchange(after_unknown_flag, false) || after_unknown_command || word == "--") {
      continue; // what belongs to a mistake is not another one
    } else {
      arguments_.problems.push_back("unexpected argument \"" + word + "\"" + suggestion(word));
      after_unknown_command = arguments_.command.empty();
    }
  }
}

std::string Parser::suggestion(const std::string& word) const {
  std::vector<std::string_view> known = commands_;
  for (const std::string_view command : commands_) {
    known.push_back(command.substr(0, command.find(' '))); // a group may be misspelt too
  }
  const std::string begun = arguments_.command.empty() ? word : arguments_.command + " " + word;
  const std::string_view nearest = config::nearest_name(begun, known);
  return nearest.empty() ? "" : "; did you mean " + std::string(nearest) + "?";
}

} // namespace

Arguments parse_arguments(const std::vector<std::string>& words,
                          const std::vector<std::string_view>& commands) {
  return Parser(commands).parse(split_assignments(words));
}

} // namespace pkc::cli
