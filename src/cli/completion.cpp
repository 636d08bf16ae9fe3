#include "completion.hpp"

#include "pkc/config/reference.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::cli {
namespace {

using config::Completion;

/// A flag without a value that every command takes.
struct Switch {
  std::string_view letter;
  std::string_view name;
  std::string_view help;
};

constexpr std::array kSwitches = {Switch{"-h", "--help", "prints flags and commands"},
                                  Switch{"-V", "--version", "prints the version"}};

// --- what is to be offered, for any shell
// -----------------------------------------------------------

std::vector<Command> listed(std::span<const Command> commands) {
  std::vector<Command> result;
  std::ranges::copy_if(commands, std::back_inserter(result), [](const Command& command) {
    return !command.help.empty();
  });
  return result;
}

/// A word that may come next on the command line, and what it is for.
struct Step {
  std::string_view word;
  std::string_view help; ///< empty: a group of commands
};

/// What may follow the words `begun` of a command ("", "config"); each once, in their order.
std::vector<Step> steps_after(std::string_view begun, const std::vector<Command>& commands) {
  std::vector<Step> steps;
  for (const Command& command : commands) {
    std::string_view rest = command.syntax.command;
    if (!begun.empty()) {
      if (!rest.starts_with(begun) || !rest.substr(begun.size()).starts_with(' ')) {
        continue;
      }
      rest.remove_prefix(begun.size() + 1);
    }
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (std::ranges::find(steps, word, &Step::word) == steps.end()) {
      steps.push_back({.word = word, .help = word.size() == rest.size() ? command.help : ""});
    }
  }
  return steps;
}

/// The beginnings of commands that want another word: "", "config".
std::vector<std::string_view> unfinished(const std::vector<Command>& commands) {
  std::vector<std::string_view> result = {""};
  for (const Command& command : commands) {
    const std::string_view name = command.syntax.command;
    const std::string_view group = name.substr(0, name.find(' '));
    if (group.size() != name.size() && std::ranges::find(result, group) == result.end()) {
      result.push_back(group);
    }
  }
  return result;
}

/// An option of a command, as a flag of the settings is described.
config::FlagSummary summary_of(const Option& option) {
  Completion completion = Completion::none;
  if (option.value == "FILE") {
    completion = Completion::files;
  } else if (option.value == "DIR") {
    completion = Completion::directories;
  }
  return {.name = option.name,
          .summary = option.help,
          .placeholder = option.value,
          .completion = completion,
          .words = {}};
}

bool takes_file(const Command& command) {
  return command.syntax.operands.first == Operands::First::file;
}

/// The flags of the settings, and every option of a command that takes a value.
std::vector<config::FlagSummary> flags_with_value(const std::vector<Command>& commands) {
  std::vector<config::FlagSummary> flags = config::flag_summaries();
  for (const Command& command : commands) {
    for (const Option& option : command.syntax.options) {
      if (!option.value.empty() &&
          std::ranges::find(flags, option.name, &config::FlagSummary::name) == flags.end()) {
        flags.push_back(summary_of(option));
      }
    }
  }
  return flags;
}

/// Every flag that takes no value, with its dashes.
std::vector<std::string> valueless(const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Switch& one : kSwitches) {
    names.emplace_back(one.letter);
    names.emplace_back(one.name);
  }
  for (const Command& command : commands) {
    for (const Option& option : command.syntax.options) {
      const std::string name = "--" + std::string(option.name);
      if (option.value.empty() && std::ranges::find(names, name) == names.end()) {
        names.push_back(name);
      }
    }
  }
  return names;
}

// --- text
// -------------------------------------------------------------------------------------------

/// Replaces each `@name@` of a script.
std::string filled(std::string_view script,
                   std::initializer_list<std::pair<std::string_view, std::string>> values) {
  std::string text(script);
  for (const auto& [name, value] : values) {
    const std::string mark = "@" + std::string(name) + "@";
    for (std::size_t at = text.find(mark); at != std::string::npos;
         at = text.find(mark, at + value.size())) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

/// `text` with a backslash in front of each of `special`.
std::string escaped(std::string_view text, std::string_view special) {
  std::string result;
  for (const char letter : text) {
    result.append(special.find(letter) == std::string_view::npos ? "" : "\\");
    result += letter;
  }
  return result;
}

/// One word of a POSIX shell, whatever is in it.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char letter : text) {
    result += letter == '\'' ? std::string(R"('\'')") : std::string(1, letter);
  }
  return result + "'";
}

/// One word of fish, where backslashes count inside quotes.
std::string fish_quoted(std::string_view text) {
  return "'" + escaped(text, "\\'") + "'";
}

template <typename Words>
std::string joined(const Words& words, std::string_view between) {
  std::string text;
  for (const std::string_view word : words) {
    text.append(text.empty() ? "" : between).append(word);
  }
  return text;
}

// --- bash
// -------------------------------------------------------------------------------------------

// `--flag=value` comes as three words where = breaks words, which it does unless somebody changed
// COMP_WORDBREAKS. Files and directories are left to readline, which knows about ~ and blanks.
constexpr std::string_view kBash =
    R"(# bash completion for polykit-cache, made by `polykit-cache completion bash`.
_polykit_cache() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command='' flags='@flags@' index next='' skip=''
  COMPREPLY=()
  if [[ $current == = ]]; then
    current=''
  elif [[ $previous == = && $COMP_CWORD -ge 2 ]]; then
    previous=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  case $previous in
@values@  esac
  for ((index = 1; index < COMP_CWORD; ++index)); do
    case ${COMP_WORDS[index]} in
      =) skip=yes ;;
      @valueless@ | -*=*) skip='' ;;
      -*) skip=yes ;;
      *) [[ -n $skip ]] || command+=${command:+ }${COMP_WORDS[index]}; skip='' ;;
    esac
  done
  case $command in
@steps@  esac
  case $command in
@options@    *) ;;
  esac
  if [[ $current == -* || -z $next ]]; then
    next=$flags
  fi
  mapfile -t COMPREPLY < <(compgen -W "$next" -- "$current")
}
complete -F _polykit_cache polykit-cache
)";

std::string bash_value(const config::FlagSummary& flag) {
  std::string action = "return";
  if (flag.completion == Completion::words) {
    action = "mapfile -t COMPREPLY < <(compgen -W '" + joined(flag.words, " ") +
             "' -- \"$current\"); return";
  } else if (flag.completion == Completion::files) {
    action = "compopt -o default; return";
  } else if (flag.completion == Completion::directories) {
    action = "compopt -o dirnames; return";
  }
  return "    --" + std::string(flag.name) + ") " + action + " ;;\n";
}

std::string bash_options(const Command& command) {
  std::string names;
  for (const Option& option : command.syntax.options) {
    names.append(" --").append(option.name);
  }
  const std::string name = quoted(command.syntax.command);
  const std::string_view files =
      takes_file(command) ? "; [[ $current == -* ]] || { compopt -o default; return; }" : "";
  return names.empty() ? ""
                       : "    " + name + " | " + name + "' '*) flags+='" + names + "'" +
                             std::string(files) + " ;;\n";
}

// --- zsh
// --------------------------------------------------------------------------------------------

// Works as the file _polykit-cache in the search path, and when it is sourced.
constexpr std::string_view kZsh = R"(#compdef polykit-cache
# zsh completion for polykit-cache, made by `polykit-cache completion zsh`.
_polykit-cache_steps() {
  (( ${#polykit_cache_steps} )) && _describe -t commands command polykit_cache_steps
  [[ -z $polykit_cache_files ]] || _files
}
_polykit-cache() {
  local word begun='' skip='' polykit_cache_files=''
  local -a flags polykit_cache_steps
  for word in "${(@)words[2,CURRENT-1]}"; do
    case $word in
      (@valueless@|-*=*) skip='' ;;
      (-*) skip=yes ;;
      (*) [[ -n $skip ]] || begun+=${begun:+ }$word; skip='' ;;
    esac
  done
  flags=(
@flags@  )
  case $begun in
@steps@  esac
  case $begun in
@options@  esac
  _arguments $flags '*: :_polykit-cache_steps'
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
  _polykit-cache "$@"
else
  compdef _polykit-cache polykit-cache
fi
)";

std::string zsh_summary(std::string_view text) {
  return "[" + escaped(text, "\\[]") + "]";
}

/// What _arguments is told about a flag.
std::string zsh_flag(const config::FlagSummary& flag) {
  const std::string name = "--" + std::string(flag.name);
  if (flag.placeholder.empty() && flag.words.empty()) {
    return quoted(name + zsh_summary(flag.summary));
  }
  std::string action = " ";
  if (flag.completion == Completion::words) {
    action = "(" + joined(flag.words, " ") + ")";
  } else if (flag.completion == Completion::files) {
    action = "_files";
  } else if (flag.completion == Completion::directories) {
    action = "_files -/";
  }
  const std::string_view message = flag.placeholder.empty() ? "value" : flag.placeholder;
  return quoted(name + "=" + zsh_summary(flag.summary) + ":" + std::string(message) + ":" + action);
}

std::string zsh_flags() {
  std::string flags;
  for (const Switch& one : kSwitches) {
    const std::string names = std::string(one.letter) + "," + std::string(one.name);
    flags.append("    '(- *)'{").append(names).append("}").append(quoted(zsh_summary(one.help)));
    flags += '\n';
  }
  for (const config::FlagSummary& flag : config::flag_summaries()) {
    flags.append("    ").append(zsh_flag(flag)).append("\n");
  }
  return flags;
}

std::string zsh_options(const Command& command) {
  std::string flags;
  for (const Option& option : command.syntax.options) {
    const std::string_view again = option.times == Option::Times::many ? "'*'" : "";
    flags.append(flags.empty() ? "" : " ").append(again).append(zsh_flag(summary_of(option)));
  }
  const std::string name = quoted(command.syntax.command);
  const std::string_view files = takes_file(command) ? "; polykit_cache_files=yes" : "";
  return flags.empty() ? ""
                       : "    (" + name + "|" + name + "' '*) flags+=(" + flags + ")" +
                             std::string(files) + " ;;\n";
}

std::string zsh_steps(std::string_view begun, const std::vector<Command>& commands) {
  std::string text = "    (" + quoted(begun) + ") polykit_cache_steps=(";
  for (const Step& step : steps_after(begun, commands)) {
    const std::string help = step.help.empty() ? "" : ":" + std::string(step.help);
    text.append("\n      ").append(quoted(std::string(step.word) + help));
  }
  return text + ") ;;\n";
}

// --- fish
// -------------------------------------------------------------------------------------------

constexpr std::string_view kFish =
    R"(# fish completion for polykit-cache, made by `polykit-cache completion fish`.
function __polykit_cache_after --description 'Whether the command so far is the argument'
    set -l begun
    set -l skip no
    for word in (commandline -opc)[2..-1]
        switch $word
            case @valueless@ '-*=*'
                set skip no
            case '-*'
                set skip yes
            case '*'
                test $skip = yes; or set -a begun $word
                set skip no
        end
    end
    set -l command (string join ' ' -- $begun)
    test "$command" = "$argv"
end
complete -c polykit-cache -f
@steps@@flags@)";

/// The end of a line for a flag.
std::string fish_flag(const config::FlagSummary& flag) {
  std::string action;
  if (flag.completion == Completion::words) {
    action = " -x -a " + fish_quoted(joined(flag.words, " "));
  } else if (flag.completion == Completion::files) {
    action = " -r -F";
  } else if (flag.completion == Completion::directories) {
    action = " -x -a '(__fish_complete_directories)'";
  } else if (!flag.placeholder.empty()) {
    action = " -x";
  }
  return " -l " + std::string(flag.name) + action + " -d " + fish_quoted(flag.summary) + "\n";
}

std::string fish_after(std::string_view begun) {
  return "complete -c polykit-cache -n " +
         fish_quoted("__polykit_cache_after " + fish_quoted(begun));
}

std::string fish_flags(const std::vector<Command>& commands) {
  const std::string always = "complete -c polykit-cache";
  std::string lines;
  for (const Switch& one : kSwitches) {
    lines.append(always).append(" -s ").append(one.letter.substr(1)).append(" -l ");
    lines.append(one.name.substr(2)).append(" -d ").append(fish_quoted(one.help)).append("\n");
  }
  for (const config::FlagSummary& flag : config::flag_summaries()) {
    lines += always + fish_flag(flag);
  }
  for (const Command& command : commands) {
    lines += takes_file(command) ? fish_after(command.syntax.command) + " -F\n" : "";
    for (const Option& option : command.syntax.options) {
      lines += fish_after(command.syntax.command) + fish_flag(summary_of(option));
    }
  }
  return lines;
}

std::string fish_steps(std::string_view begun, const std::vector<Command>& commands) {
  std::string lines;
  for (const Step& step : steps_after(begun, commands)) {
    lines.append(fish_after(begun)).append(" -a ").append(step.word);
    lines.append(step.help.empty() ? "" : " -d " + fish_quoted(step.help)).append("\n");
  }
  return lines;
}

} // namespace

std::string bash_completion(std::span<const Command> commands) {
  const std::vector<Command> offered = listed(commands);
  std::string flags;
  for (const Switch& one : kSwitches) {
    flags.append(flags.empty() ? "" : " ").append(one.name);
  }
  for (const std::string_view name : config::flag_names()) {
    flags.append(" --").append(name);
  }
  std::string values;
  for (const config::FlagSummary& flag : flags_with_value(offered)) {
    values += bash_value(flag);
  }
  std::string steps;
  for (const std::string_view begun : unfinished(offered)) {
    std::vector<std::string_view> words;
    std::ranges::transform(steps_after(begun, offered), std::back_inserter(words), &Step::word);
    steps += "    " + quoted(begun) + ") next='" + joined(words, " ") + "' ;;\n";
  }
  std::string options;
  for (const Command& command : offered) {
    options += bash_options(command);
  }
  return filled(kBash,
                {{"flags", flags},
                 {"values", values},
                 {"valueless", joined(valueless(offered), " | ")},
                 {"steps", steps},
                 {"options", options}});
}

std::string zsh_completion(std::span<const Command> commands) {
  const std::vector<Command> offered = listed(commands);
  std::string steps;
  for (const std::string_view begun : unfinished(offered)) {
    steps += zsh_steps(begun, offered);
  }
  std::string options;
  for (const Command& command : offered) {
    options += zsh_options(command);
  }
  return filled(kZsh,
                {{"flags", zsh_flags()},
                 {"valueless", joined(valueless(offered), "|")},
                 {"steps", steps},
                 {"options", options}});
}

std::string fish_completion(std::span<const Command> commands) {
  const std::vector<Command> offered = listed(commands);
  std::string steps;
  for (const std::string_view begun : unfinished(offered)) {
    steps += fish_steps(begun, offered);
  }
  return filled(kFish,
                {{"steps", steps},
                 {"flags", fish_flags(offered)},
                 {"valueless", joined(valueless(offered), " ")}});
}

} // namespace pkc::cli
