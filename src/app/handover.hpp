// Hand-over: a second process of the server takes the place of the first, on the same socket.
//
// The first starts the second with three descriptors and these variables, then they talk over the
// channel, a pair of connected sockets:
//
//   LISTEN_FDS=1, LISTEN_PID   as systemd does: descriptor 3 is the listening socket
//   PKC_HANDOVER               "1 <predecessor> <lock> <channel> <shared> <device> <inode> <pid>",
//                              decimal: format, process id of the first, descriptors of the
//                              directory lock and the channel, SocketOwnership (inode 0: no file),
//                              process id of the second, for whom alone the variable is meant
//   second → first             'R': ready, or 'E' and an int: errno of exec
//   first → second             'G': accept; then, and not before, the first stops accepting
//
// The end of the channel before 'R' means that the second is dead; before 'G', that the first is,
// and the second begins without being told.
#pragma once

#include "program.hpp"

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace pkc::app {

inline constexpr const char* kHandoverVariable = "PKC_HANDOVER";

/// What a successor inherits. The descriptors stay owned by whoever has them.
struct Estate {
  int listener = -1;
  http::SocketOwnership ownership;
  int lock = -1; ///< of the storage directory
};

/// A process that is to take our place: until accept() it may be given up without anybody noticing.
/// Destruction kills it if it has not been told to accept. One thread at a time.
class Successor {
 public:
  /// Starts it. That the program cannot be run is in its report. Errors: io.
  static Result<std::unique_ptr<Successor>> start(const Program& program, const Estate& estate);
  Successor(const Successor&) = delete;
  Successor& operator=(const Successor&) = delete;
  Successor(Successor&&) = delete;
  Successor& operator=(Successor&&) = delete;
  ~Successor();

  [[nodiscard]] pid_t process() const { return process_; }
  /// Readable when there is a report, or the process has ended.
  [[nodiscard]] int descriptor() const { return channel_.get(); }
  /// Waits for the report: it could serve now. Errors: unavailable, with the reason, when it never
  /// will.
  Result<void> take_report();
  /// Tells it to accept clients. From now on it lives without us.
  void accept();

 private:
  Successor(pid_t process, UniqueFd channel) : process_(process), channel_(std::move(channel)) {}
  /// Kills it if it has not ended; returns how it ended, for people.
  std::string bury();

  pid_t process_; ///< 0 when it is not ours to kill any more
  UniqueFd channel_;
};

/// What a process has inherited by a hand-over, apart from the listening socket.
struct Inheritance {
  UniqueFd lock;
  UniqueFd channel;
  http::SocketOwnership ownership;
  UniqueFd predecessor; ///< becomes readable when the predecessor has ended; none: it has already
};

/// Takes it over, with the variable; nothing when this process was started in another way. Errors:
/// invalid_argument when the variable is of a format that we do not know. To be called before any
/// other thread exists.
Result<std::optional<Inheritance>> take_inheritance();

/// Reports over the channel that we could serve. A predecessor that has died does not matter.
void report_ready(int channel);

/// Whether there is such a process and it has not ended. Thread-safe.
bool process_lives(std::int64_t process);
/// The same, but false for ourselves.
bool other_process_lives(std::int64_t process);

} // namespace pkc::app
