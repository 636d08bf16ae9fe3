// The manual page of the settings file, section 5.
#include "table.hpp"

#include "pkc/config/reference.hpp"

#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>

namespace pkc::config {
namespace {

constexpr std::string_view kDescription =
    ".SH NAME\n"
    "polykit\\-cache.yaml \\- settings of the polykit\\-cache build cache server\n"
    ".SH DESCRIPTION\n"
    "A settings file is given to\n"
    ".BR polykit\\-cache (1)\n"
    "by the flag\n"
    ".BR \\-\\-config .\n"
    "The systemd service reads\n"
    ".IR /etc/polykit\\-cache/polykit\\-cache.yaml .\n"
    ".PP\n"
    "It is YAML, TOML or JSON; the extension\n"
    ".RI ( .yaml ,\n"
    ".IR .yml ,\n"
    ".I .toml\n"
    "or\n"
    ".IR .json )\n"
    "tells which.\n"
    "Its keys are the settings below, each at most once and none of them nested.\n"
    "A setting is the flag of its name with underscores in place of the dashes, and the "
    "environment\n"
    "variable\n"
    ".BI POLYKIT_CACHE_ NAME\n"
    "in capitals.\n"
    "A flag beats the variable, which beats the file, which beats the default.\n"
    ".PP\n"
    "Every mistake stops the start, and all of them are told together: an unknown key, a value of\n"
    "another type or out of range, two settings that contradict each other.\n"
    "To look for mistakes without a start, and to see every value and where it comes from:\n"
    ".PP\n"
    ".RS 4\n"
    ".EX\n"
    "polykit\\-cache config check \\-\\-config FILE\n"
    "polykit\\-cache config show \\-\\-config FILE\n"
    ".EE\n"
    ".RE\n"
    ".PP\n"
    "A running server does not read the file again: restart it, or send it SIGUSR2.\n"
    ".SH VALUES\n"
    ".TP\n"
    ".I SIZE\n"
    "A number of bytes, or one with a unit that is a power of 1024: 512KiB, 5G.\n"
    ".TP\n"
    ".I DURATION\n"
    "A number of seconds, or one with a unit: ms, s, m, h, d.\n"
    ".TP\n"
    ".I LIST\n"
    "A list, or one text with commas between the elements.\n"
    ".TP\n"
    ".IR FILE ,\\~ DIR\n"
    "A path.\n"
    "One that is not absolute counts from the directory the server is started in.\n";

constexpr std::string_view kEnd =
    ".SH EXAMPLES\n"
    "A server for a team, behind a proxy on the same machine:\n"
    ".PP\n"
    ".RS 4\n"
    ".EX\n"
    "storage_dir: /var/cache/polykit\n"
    "bind: 127.0.0.1\n"
    "port: 8080\n"
    "trusted_proxies: [127.0.0.1]\n"
    "max_size: 2GiB\n"
    ".EE\n"
    ".RE\n"
    ".SH FILES\n"
    ".TP\n"
    ".I /etc/polykit\\-cache/polykit\\-cache.yaml\n"
    "The settings of the systemd service.\n"
    ".SH SEE ALSO\n"
    ".BR polykit\\-cache (1)\n";

/// Text in which nothing means something to troff, a sentence a line and `words` in bold.
std::string roff(std::string_view text) {
  std::string result;
  bool bold = false;
  for (const char letter : text) {
    const bool starts_line = result.empty() || result.back() == '\n';
    if (letter == '`') {
      bold = !bold;
      result += bold ? "\\fB" : "\\fR";
    } else if (letter == '\\') {
      result += "\\e";
    } else if (letter == '-') {
      result += "\\-";
    } else if (letter == ' ' && result.ends_with('.')) {
      result += '\n';
    } else {
      result.append(starts_line && (letter == '.' || letter == '\'') ? "\\&" : "");
      result += letter;
    }
  }
  return result;
}

/// What may be given, and what counts when nothing is.
std::string limits(const Row& row) {
  const std::string range = range_text(row.field);
  std::string text = row.initial.empty() ? "Default: none" : "Default: " + std::string(row.initial);
  text += range.empty() ? "." : "; " + range + ".";
  return text;
}

} // namespace

std::string manual_page() {
  std::string text(kDescription);
  std::string_view section;
  for (const Row& row : rows()) {
    if (row.in_file == InFile::no) {
      continue;
    }
    if (row.section != section) {
      section = row.section;
      text.append(".SH ");
      std::ranges::transform(section, std::back_inserter(text), [](char letter) {
        return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 'a' + 'A') : letter;
      });
      text += '\n';
    }
    text.append(".TP\n.BI ").append(file_key(row)).append(": ");
    text.append(R"(" )").append(roff(value_syntax(row.field))).append("\"\n");
    text.append(roff(row.help)).append("\n.br\n").append(roff(limits(row))).append("\n");
  }
  return text.append(kEnd);
}

} // namespace pkc::config
