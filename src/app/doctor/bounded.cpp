#include "bounded.hpp"

#include "environment.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/unique_handle.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::app {

namespace {

/// A record is four fields, each ended by a zero byte: the verdict as a digit, check, text, advice.
/// The last record has kEnd for a verdict and, for a check, the server's process or nothing.
constexpr std::string_view kEnd = "end";
constexpr std::size_t kFields = 4;

std::string record(const std::array<std::string_view, kFields>& fields) {
  std::string bytes;
  for (const std::string_view field : fields) {
    bytes.append(field.substr(0, field.find('\0'))).push_back('\0');
  }
  return bytes;
}

void write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR) {
      return; // nobody listens any more
    }
    bytes.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
  }
}

[[noreturn]] void run_child(int writer, const Check& check, Facts facts) {
  check(
      [writer](const Finding& finding) {
        write_all(writer,
                  record({std::to_string(static_cast<int>(finding.verdict)),
                          finding.check,
                          finding.text,
                          finding.advice}));
      },
      facts);
  const std::string server = facts.server ? std::to_string(facts.server->process) : "";
  write_all(writer, record({kEnd, server, "", ""}));
  ::_exit(0); // what the parent has buffered is not ours to write
}

/// Reads the records of a child.
class Reader {
 public:
  Reader(const FindingSink& sink, Facts& facts) : sink_(sink), facts_(facts) {}

  [[nodiscard]] bool ended() const { return ended_; }

  void take(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\0') {
        field_ += c;
        continue;
      }
      fields_.push_back(std::exchange(field_, {}));
      if (fields_.size() == kFields) {
        take_record();
        fields_.clear();
      }
    }
  }

 private:
  void take_record() {
    if (fields_[0] == kEnd) {
      ended_ = true;
      const auto process = parse_decimal<pid_t>(fields_[1]);
      facts_.server = process ? std::optional(RunningServer{*process}) : std::nullopt;
    } else if (const auto verdict = parse_decimal<int>(fields_[0])) {
      sink_({static_cast<Verdict>(*verdict), fields_[1], fields_[2], fields_[3]});
    }
  }

  const FindingSink& sink_;
  Facts& facts_;
  std::string field_;
  std::vector<std::string> fields_;
  bool ended_ = false;
};

enum class Outcome : std::uint8_t {
  done,
  died,
  silent,
};

Outcome listen_to(int descriptor, std::chrono::milliseconds patience, Reader& reader) {
  std::array<char, 4096> buffer{};
  while (!reader.ended()) {
    pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(patience.count()));
    if (ready == 0) {
      return Outcome::silent;
    }
    const ssize_t count = ready < 0 ? -1 : ::read(descriptor, buffer.data(), buffer.size());
    if (count > 0) {
      reader.take({buffer.data(), static_cast<std::size_t>(count)});
    } else if (count == 0 || errno != EINTR) {
      return Outcome::died;
    }
  }
  return Outcome::done;
}

/// A child that hangs in the kernel dies when that lets it go; until then it is not waited for.
void bury(pid_t child, Outcome outcome) {
  if (outcome == Outcome::silent) {
    ::kill(child, SIGKILL);
  }
  while (::waitpid(child, nullptr, outcome == Outcome::silent ? WNOHANG : 0) < 0 &&
         errno == EINTR) {
  }
}

void tell_failure(const std::string& subject,
                  Outcome outcome,
                  std::chrono::milliseconds patience,
                  const FindingSink& sink) {
  if (outcome == Outcome::silent) {
    sink({Verdict::problem,
          subject,
          "no answer for " + format_duration(patience) + "; what comes next here would hang",
          "look for a network file system or a name server that does not answer, or a disk with "
          "errors (`dmesg`)"});
  } else if (outcome == Outcome::died) {
    sink({Verdict::problem, subject, "the check ended before it was done", ""});
  }
}

} // namespace

void run_bounded(const std::string& subject,
                 std::chrono::milliseconds patience,
                 const Check& check,
                 const FindingSink& sink,
                 Facts& facts) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    sink({Verdict::problem, subject, fail_errno(errno, "cannot be checked").error().message, ""});
    return;
  }
  const UniqueFd reading(ends[0]);
  UniqueFd writing(ends[1]);
  const pid_t child = ::fork();
  const int error_number = errno;
  if (child < 0) {
    sink({Verdict::problem,
          subject,
          fail_errno(error_number, "no process for the check").error().message,
          "raise the limit of processes (`ulimit -u`, TasksMax=)"});
    return;
  }
  if (child == 0) {
    run_child(writing.get(), check, facts);
  }
  writing.reset();
  Reader reader(sink, facts);
  const Outcome outcome = listen_to(reading.get(), patience, reader);
  bury(child, outcome);
  tell_failure(subject, outcome, patience, sink);
}

} // namespace pkc::app
