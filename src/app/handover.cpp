#include "handover.hpp"

#include "environment.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::app {

namespace {

constexpr int kFirstPassed = 3;  ///< listener, lock and channel, in this order
constexpr int kFirstCopy = 16;   ///< above all of those
constexpr int kPatienceMs = 500; ///< for a process that has closed its channel to end
constexpr std::string_view kFormat = "1";
constexpr std::size_t kFields = 8;
constexpr std::size_t kDigitsMax = std::numeric_limits<pid_t>::digits10 + 1;
constexpr int kExecFailed = 127; ///< as shells have it

constexpr char kReady = 'R';
constexpr char kError = 'E';
constexpr char kAccept = 'G';

/// Arguments and environment as exec wants them, but for the process id of the successor, which is
/// known only when nothing may be allocated any more.
class Image {
 public:
  Image(const Program& program, const Estate& estate)
      : path_(program.path), arguments_(program.arguments), environment_(program.environment) {
    const auto file = estate.ownership.file.value_or(http::SocketFileId{});
    environment_.emplace_back("LISTEN_FDS=1");
    environment_.push_back("LISTEN_PID=" + std::string(kDigitsMax, '\0'));
    environment_.push_back(std::string(kHandoverVariable) + "=" + std::string(kFormat) + ' ' +
                           std::to_string(::getpid()) + ' ' + std::to_string(kFirstPassed + 1) +
                           ' ' + std::to_string(kFirstPassed + 2) +
                           (estate.ownership.shared ? " 1 " : " 0 ") + std::to_string(file.device) +
                           ' ' + std::to_string(file.inode) + ' ' + std::string(kDigitsMax, '\0'));
    for (std::string& argument : arguments_) {
      argument_pointers_.push_back(argument.data());
    }
    for (std::string& variable : environment_) {
      environment_pointers_.push_back(variable.data());
    }
    argument_pointers_.push_back(nullptr);
    environment_pointers_.push_back(nullptr);
  }

  /// Async-signal-safe. The variables end behind the digits, where zeros are.
  void address_to(pid_t process) {
    for (std::size_t i = environment_.size() - 2; i < environment_.size(); ++i) {
      std::string& variable = environment_[i];
      char* const end = variable.data() + variable.size();
      std::to_chars(end - kDigitsMax, end, process);
    }
  }

  /// Async-signal-safe. Returns only when it fails.
  void run() { ::execve(path_.c_str(), argument_pointers_.data(), environment_pointers_.data()); }

 private:
  std::string path_;
  std::vector<std::string> arguments_;
  std::vector<std::string> environment_;
  std::vector<char*> argument_pointers_;
  std::vector<char*> environment_pointers_;
};

/// What the new process does: between fork and exec nothing but async-signal-safe calls, as other
/// threads may have held any lock. The signals stay blocked: those that come before the program
/// waits for them are then handled, instead of killing it.
[[noreturn]] void become(Image& image, const std::array<UniqueFd, 3>& passed) {
  image.address_to(::getpid());
  int target = kFirstPassed;
  bool moved = true;
  for (const UniqueFd& fd : passed) {
    moved = moved && ::dup2(fd.get(), target++) >= 0;
  }
  if (moved) {
    image.run();
  }
  const int error_number = errno;
  std::array<char, 1 + sizeof(error_number)> report{kError};
  std::memcpy(&report[1], &error_number, sizeof(error_number));
  static_cast<void>(::send(passed.back().get(), report.data(), report.size(), MSG_NOSIGNAL));
  ::_exit(kExecFailed);
}

Result<UniqueFd> copy_of(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, kFirstCopy));
  if (!copy) {
    return fail_errno(errno, "fcntl");
  }
  return copy;
}

/// A descriptor that becomes readable when the process ends. The header of glibc 2.36 for it is not
/// fit for C++.
UniqueFd open_process(pid_t process) {
  return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
}

bool has_ended(int pidfd, int timeout_ms) {
  pollfd entry{.fd = pidfd, .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, timeout_ms) > 0;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> fields;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    fields.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return fields;
}

Result<Inheritance> parse_inheritance(const std::vector<std::string_view>& fields) {
  const auto predecessor = parse_decimal<pid_t>(fields[1]);
  const auto lock = parse_decimal<int>(fields[2]);
  const auto channel = parse_decimal<int>(fields[3]);
  const auto device = parse_decimal<std::uint64_t>(fields[5]);
  const auto inode = parse_decimal<std::uint64_t>(fields[6]);
  if (!predecessor || !lock || !channel || !device || !inode) {
    return fail(Errc::invalid_argument, std::string(kHandoverVariable) + " is malformed");
  }
  for (const int fd : {*lock, *channel}) {
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return fail_errno(errno, "a descriptor passed by the predecessor");
    }
  }
  Inheritance inheritance{.lock = UniqueFd(*lock),
                          .channel = UniqueFd(*channel),
                          .ownership = {.shared = fields[4] == "1", .file = std::nullopt},
                          .predecessor = open_process(*predecessor)};
  if (*inode != 0) {
    inheritance.ownership.file = {.device = *device, .inode = *inode};
  }
  if (::getppid() != *predecessor) {
    inheritance.predecessor.reset(); // it has ended, and its number may be another's by now
  }
  return inheritance;
}

} // namespace

Result<std::unique_ptr<Successor>> Successor::start(const Program& program, const Estate& estate) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "socketpair");
  }
  UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  std::array<UniqueFd, 3> passed;
  TRY_ASSIGN(passed[0], copy_of(estate.listener));
  TRY_ASSIGN(passed[1], copy_of(estate.lock));
  TRY_ASSIGN(passed[2], copy_of(theirs.get()));
  Image image(program, estate);
  const pid_t process = ::fork();
  if (process < 0) {
    return fail_errno(errno, "fork");
  }
  if (process == 0) {
    become(image, passed);
  }
  return std::unique_ptr<Successor>(new Successor(process, std::move(ours)));
}

Successor::~Successor() {
  if (process_ > 0) {
    static_cast<void>(::kill(process_, SIGKILL));
    bury();
  }
}

Result<void> Successor::take_report() {
  std::array<char, 1 + sizeof(int)> report{};
  ssize_t size = 0;
  do {
    size = ::recv(channel_.get(), report.data(), report.size(), 0);
  } while (size < 0 && errno == EINTR);
  if (size > 0 && report[0] == kReady) {
    return {};
  }
  std::string how = bury();
  if (size == static_cast<ssize_t>(report.size()) && report[0] == kError) {
    int error_number = 0;
    std::memcpy(&error_number, &report[1], sizeof(error_number));
    Error error = fail_errno(error_number, "the program cannot be run").error();
    error.code = Errc::unavailable;
    return std::unexpected(std::move(error));
  }
  return fail(Errc::unavailable, std::move(how));
}

std::string Successor::bury() {
  const pid_t process = std::exchange(process_, 0);
  if (process <= 0) {
    return "it has ended";
  }
  // Its descriptors close a moment before it ends; one that goes on without them is none of ours.
  const UniqueFd pidfd = open_process(process);
  if (!has_ended(pidfd.get(), kPatienceMs)) {
    static_cast<void>(::kill(process, SIGKILL));
  }
  int status = 0;
  pid_t waited = 0;
  do {
    waited = ::waitpid(process, &status, 0);
  } while (waited < 0 && errno == EINTR);
  if (waited == process && WIFEXITED(status)) {
    return "it ended with status " + std::to_string(WEXITSTATUS(status));
  }
  if (waited == process && WIFSIGNALED(status)) {
    return "it was ended by signal " + std::to_string(WTERMSIG(status));
  }
  return "it has ended";
}

void Successor::accept() {
  process_ = 0;
  static_cast<void>(::send(channel_.get(), &kAccept, 1, MSG_NOSIGNAL));
}

Result<std::optional<Inheritance>> take_inheritance() {
  const auto text = take_variable(kHandoverVariable);
  if (!text) {
    return std::nullopt;
  }
  const auto fields = split(*text);
  if (fields.empty() || fields.front() != kFormat || fields.size() != kFields) {
    return fail(Errc::invalid_argument,
                "a server of another version handed over in a way that this one does not know");
  }
  if (parse_decimal<pid_t>(fields.back()) != ::getpid()) {
    return std::nullopt; // meant for an ancestor of ours
  }
  TRY_ASSIGN(auto inheritance, parse_inheritance(fields));
  return std::optional(std::move(inheritance));
}

void report_ready(int channel) {
  static_cast<void>(::send(channel, &kReady, 1, MSG_NOSIGNAL));
}

bool process_lives(std::int64_t process) {
  if (process <= 0 || process > std::numeric_limits<pid_t>::max()) {
    return false;
  }
  const UniqueFd pidfd = open_process(static_cast<pid_t>(process));
  if (const int error_number = errno; !pidfd) {
    return error_number != ESRCH && error_number != EINVAL; // in doubt it does
  }
  return !has_ended(pidfd.get(), 0); // one that waits for its parent's wait() has ended
}

bool other_process_lives(std::int64_t process) {
  return process != ::getpid() && process_lives(process);
}

} // namespace pkc::app
