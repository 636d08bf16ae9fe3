// A process that starts its successor, with shell scripts in the successor's place, and the
// successor's side of it.
#include "environment.hpp"
#include "handover.hpp"
#include "program.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/unique_handle.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

namespace pkc::app {
namespace {

Program shell(const std::string& script) {
  return {.path = "/bin/sh",
          .arguments = {"sh", "-c", script},
          .environment = {"PATH=/usr/bin:/bin", "KEPT=yes"}};
}

/// Descriptors that a script can tell apart.
struct TestEstate {
  pkc::test::TempDir directory;
  UniqueFd listener = make("listener");
  UniqueFd lock = make("lock");
  Estate estate{.listener = listener.get(),
                .ownership = {.shared = false, .file = http::SocketFileId{.device = 7, .inode = 8}},
                .lock = lock.get()};

  [[nodiscard]] UniqueFd make(const char* name) const {
    std::ofstream(directory / name) << name;
    return UniqueFd(::open((directory / name).c_str(), O_RDONLY | O_CLOEXEC));
  }
};

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string failure_of(const Program& program) {
  const TestEstate test;
  auto successor = Successor::start(program, test.estate).value();
  const auto report = successor->take_report();
  REQUIRE_FALSE(report.has_value());
  CHECK(report.error().code == Errc::unavailable);
  return report.error().message;
}

void set(const char* name, const std::string& value) {
  REQUIRE(::setenv(name, value.c_str(), 1) == 0);
}

TEST_SUITE("app::Successor") {
  TEST_CASE("start: descriptors and variables are those of the protocol") {
    const TestEstate test;
    const std::string out = test.directory / "out";
    const std::string script =
        "{ cat <&3; echo; cat <&4; echo; echo \"$LISTEN_FDS\"; "
        "test \"$LISTEN_PID\" = $$ && echo addressed; echo \"$KEPT\"; "
        "echo \"$PKC_HANDOVER\" | sed \"s/ $$\\$/ own/\"; } > '" +
        out + "'; printf R >&5; head -c 1 <&5 >> '" + out + "'; printf x >&5";
    auto successor = Successor::start(shell(script), test.estate).value();

    REQUIRE(successor->take_report().has_value());
    successor->accept();

    std::array<char, 1> done{};
    REQUIRE(::recv(successor->descriptor(), done.data(), done.size(), 0) == 1);
    CHECK(content_of(out) == "listener\nlock\n1\naddressed\nyes\n1 " + std::to_string(::getpid()) +
                                 " 4 5 0 7 8 own\nG");
  }

  TEST_CASE("take_report: says how a successor failed") {
    CHECK(failure_of(shell("exit 3")) == "it ended with status 3");
    CHECK(failure_of(shell("kill -9 $$")) == "it was ended by signal 9");
    CHECK(failure_of({.path = "/nowhere/program", .arguments = {"x"}, .environment = {}}) ==
          "the program cannot be run: No such file or directory");
  }

  TEST_CASE("take_report: one that drops the channel and stays is killed") {
    CHECK(failure_of(shell("exec 5>&-; exec sleep 600")) == "it was ended by signal 9");
  }

  TEST_CASE("destruction: kills a successor that was not told to accept, and no other") {
    for (const bool accepts : {false, true}) {
      const TestEstate test;
      auto successor =
          Successor::start(shell("printf R >&5; head -c 1 <&5; exec sleep 600"), test.estate)
              .value();
      REQUIRE(successor->take_report().has_value());
      const pid_t process = successor->process();
      if (accepts) {
        successor->accept();
      }

      successor.reset();

      CHECK(process_lives(process) == accepts);
      if (accepts) {
        REQUIRE(::kill(process, SIGKILL) == 0);
        REQUIRE(::waitpid(process, nullptr, 0) == process);
      }
    }
  }
}

TEST_SUITE("app::take_inheritance") {
  /// The variable of a predecessor that is this test's parent, with descriptors that exist.
  struct Passed {
    UniqueFd lock{::open("/dev/null", O_RDONLY)};
    UniqueFd channel{::open("/dev/null", O_RDONLY)};

    [[nodiscard]] std::string text(const std::string& rest) const {
      return "1 " + std::to_string(::getppid()) + ' ' + std::to_string(lock.get()) + ' ' +
             std::to_string(channel.get()) + rest + ' ' + std::to_string(::getpid());
    }
  };

  TEST_CASE("take: everything is ours, close-on-exec, and the variable is gone") {
    Passed passed;
    set(kHandoverVariable, passed.text(" 1 7 8"));

    const auto taken = take_inheritance().value();

    REQUIRE(taken.has_value());
    CHECK(taken->lock.get() == passed.lock.release());
    CHECK(taken->channel.get() == passed.channel.release());
    CHECK(taken->ownership.shared);
    CHECK(taken->ownership.file == http::SocketFileId{.device = 7, .inode = 8});
    CHECK(taken->predecessor);
    CHECK((::fcntl(taken->lock.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(taken->channel.get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_FALSE(take_variable(kHandoverVariable).has_value());
  }

  TEST_CASE("take: without an inode there is no file") {
    Passed passed;
    set(kHandoverVariable, passed.text(" 0 0 0"));

    const auto taken = take_inheritance().value();

    static_cast<void>(passed.lock.release());
    static_cast<void>(passed.channel.release());
    REQUIRE(taken.has_value());
    CHECK_FALSE(taken->ownership.shared);
    CHECK_FALSE(taken->ownership.file.has_value());
  }

  TEST_CASE("take: nothing without the variable, or when it is for another process") {
    CHECK_FALSE(take_inheritance().value().has_value());
    set(kHandoverVariable, "1 2 4 5 0 0 0 1");
    CHECK_FALSE(take_inheritance().value().has_value());
  }

  TEST_CASE("take: another version, and nonsense, are refused") {
    const std::string own = ' ' + std::to_string(::getpid());
    for (const std::string& text : {std::string(),
                                    std::string("1"),
                                    "2 1 4 5 0 0 0" + own,
                                    "1 1 4 5 0 0 0 0" + own,
                                    "1 x 4 5 0 0 0" + own,
                                    "1 1 4 5 0 0 -1" + own}) {
      CAPTURE(text);
      set(kHandoverVariable, text);
      const auto taken = take_inheritance();
      REQUIRE_FALSE(taken.has_value());
      CHECK(taken.error().code == Errc::invalid_argument);
    }
  }
}

TEST_SUITE("app::process_lives") {
  TEST_CASE("lives: this one does; one that has ended does not, reaped or not") {
    const pid_t child = ::fork();
    if (child == 0) {
      ::_exit(0);
    }
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);

    CHECK(process_lives(::getpid()));
    CHECK_FALSE(process_lives(child));
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK_FALSE(process_lives(child));
  }

  TEST_CASE("lives: what is no process id does not") {
    for (const std::int64_t number : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1} << 40}) {
      CHECK_FALSE(process_lives(number));
    }
  }
}

TEST_SUITE("app::Program") {
  TEST_CASE("capture: this program, its arguments, and the variables that are not personal") {
    set("LISTEN_PID", "1");
    set("LISTEN_FDS", "1");
    set("WATCHDOG_PID", std::to_string(::getpid()));
    set("WATCHDOG_USEC", "5");
    set("PKC_TEST_KEPT", "a=b");

    const auto program = Program::capture();

    REQUIRE(program.has_value());
    CHECK(program->path.starts_with('/'));
    CHECK(program->path.ends_with("/unit_app"));
    CHECK_FALSE(program->arguments.empty());
    const auto has = [&](std::string_view text) {
      return std::ranges::any_of(program->environment,
                                 [&](const std::string& v) { return v.starts_with(text); });
    };
    CHECK(has("PKC_TEST_KEPT=a=b"));
    CHECK(has("WATCHDOG_USEC=5"));
    for (const char* personal : {"LISTEN_PID", "LISTEN_FDS", "WATCHDOG_PID"}) {
      CHECK_FALSE(has(personal));
      ::unsetenv(personal);
    }
  }

  TEST_CASE("capture: a watchdog of another process is not passed on") {
    set("WATCHDOG_PID", "1");
    set("WATCHDOG_USEC", "5");

    const auto program = Program::capture();

    REQUIRE(program.has_value());
    CHECK(std::ranges::none_of(program->environment, [](const std::string& variable) {
      return variable.starts_with("WATCHDOG_");
    }));
    ::unsetenv("WATCHDOG_PID");
    ::unsetenv("WATCHDOG_USEC");
  }

  TEST_CASE("capture: the main process of a unit that cannot be told of another has none") {
    set("SYSTEMD_EXEC_PID", std::to_string(::getpid()));
    ::unsetenv("NOTIFY_SOCKET");
    CHECK(Program::capture().error().code == Errc::unavailable);

    set("NOTIFY_SOCKET", "/run/notify");
    CHECK(Program::capture().has_value());
    ::unsetenv("SYSTEMD_EXEC_PID");
    ::unsetenv("NOTIFY_SOCKET");
  }
}

} // namespace
} // namespace pkc::app
