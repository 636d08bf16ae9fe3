// Exit codes: a promise to scripts and service managers, listed in --help.
#pragma once

namespace pkc::cli {

constexpr int kExitOk = 0; ///< done, or stopped by a signal as asked
constexpr int kExitFailed =
    1; ///< the server could not start or is not healthy; a command or an output failed
constexpr int kExitUsage = 2; ///< the command line, environment or settings file is wrong

/// Of commands that check something, so that 1 stays for what they found.
constexpr int kExitNotDone = 3;     ///< the check could not be done
constexpr int kExitInterrupted = 4; ///< a signal ended it early

/// Of commands whose unfinished work goes on when they are run again: this and the signal's number,
/// as shells have it. 130 is Ctrl-C.
constexpr int kExitSignal = 128;

} // namespace pkc::cli
