// Doctor: looks for what would keep the server from doing its work on this machine.
#pragma once

#include "pkc/config/settings.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace pkc::app {

/// How bad a finding is, from good to bad.
enum class Verdict : std::uint8_t {
  ok,
  note,    ///< worth knowing
  warning, ///< works, but not as well as it should, or not for long
  problem, ///< keeps the server from starting, from storing, or from being reached
};

/// "ok", "note", "warning", "problem".
std::string_view to_string(Verdict verdict);

/// One thing that was looked at, in sentences for the operator.
struct Finding {
  Verdict verdict = Verdict::ok;
  std::string check;  ///< what it is about, in a word or two: "directory", "open files"
  std::string text;   ///< what is the case
  std::string advice; ///< what to do; empty when there is nothing to do
};

/// Takes findings one after another, as they are made.
using FindingSink = std::function<void(const Finding&)>;

/// Looks at the machine with the eyes of a server of these settings, run by this user, and tells
/// `sink` each finding. Changes nothing but for a temporary file in an existing storage directory,
/// removed at once; never makes the directory. May run beside a server, also one that starts at the
/// same moment: it takes no lock and never listens. What can hang (a network file system, a
/// resolver) is looked at by a child process, which is given up when it finds nothing for fifteen
/// seconds. Call it while the process has one thread.
void examine(const config::Settings& settings, const FindingSink& sink);

} // namespace pkc::app
