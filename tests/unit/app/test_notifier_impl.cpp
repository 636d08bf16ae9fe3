// What the service manager says in variables, and what it hears from us.
#include "activation.hpp"
#include "environment.hpp"
#include "notifier.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/ops/log.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>

namespace pkc::app {
namespace {

constexpr int kPatienceMs = 20'000;

/// The manager's end of NOTIFY_SOCKET.
class Manager {
 public:
  /// `name` is a path, or @ and an abstract name.
  explicit Manager(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    REQUIRE(name.size() < sizeof(address.sun_path));
    name.copy(static_cast<char*>(address.sun_path), name.size());
    if (name.starts_with('@')) {
      address.sun_path[0] = '\0';
    }
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    REQUIRE(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  }

  /// The next message; empty when none comes.
  [[nodiscard]] std::string hear() const {
    pollfd entry{fd_.get(), POLLIN, 0};
    if (::poll(&entry, 1, kPatienceMs) != 1) {
      return {};
    }
    std::array<char, 4096> text{};
    const ssize_t size = ::recv(fd_.get(), text.data(), text.size(), 0);
    return size < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(size));
  }

 private:
  UniqueFd fd_;
};

void set(const char* name, const std::string& value) {
  REQUIRE(::setenv(name, value.c_str(), 1) == 0);
}

bool is_set(const char* name) {
  return std::getenv(name) != nullptr;
}

TEST_SUITE("app::Notifier") {
  TEST_CASE("notify: readiness and the end are told, over a path or an abstract name") {
    const pkc::test::TempDir directory;
    const auto log = ops::make_stdout_log({.level = ops::LogLevel::error});
    for (const std::string& name : {directory / "notify", "@" + directory / "notify"}) {
      CAPTURE(name);
      const Manager manager(name);
      Notifier notifier({.socket = name, .watchdog = {}}, *log);

      notifier.ready("127.0.0.1:80");
      notifier.stopping();

      CHECK(manager.hear() == "READY=1\nSTATUS=listening on 127.0.0.1:80");
      CHECK(manager.hear().starts_with("STOPPING=1\n"));
    }
  }

  TEST_CASE("watch: signs of life follow each other until the thread ends") {
    const pkc::test::TempDir directory;
    const auto log = ops::make_stdout_log({.level = ops::LogLevel::error});
    const Manager manager(directory / "notify");
    Notifier notifier({.socket = directory / "notify", .watchdog = std::chrono::milliseconds(20)},
                      *log);

    const auto thread = notifier.watch();

    REQUIRE(thread.has_value());
    for (int i = 0; i < 3; ++i) {
      CHECK(manager.hear() == "WATCHDOG=1");
    }
  }

  TEST_CASE("watch: there is no thread without a watchdog or a manager") {
    const auto log = ops::make_stdout_log({.level = ops::LogLevel::error});
    Notifier unwatched({.socket = "/nowhere", .watchdog = {}}, *log);
    Notifier unmanaged({.socket = "", .watchdog = std::chrono::seconds(1)}, *log);

    CHECK_FALSE(unwatched.watch().value().joinable());
    CHECK_FALSE(unmanaged.watch().value().joinable());
  }

  TEST_CASE("notify: a manager that is gone does not stop the server") {
    const auto log = ops::make_stdout_log({.level = ops::LogLevel::error});
    for (const std::string name : {"", "/nowhere/notify", "nonsense"}) {
      Notifier notifier({.socket = name, .watchdog = {}}, *log);

      notifier.ready("x");
      notifier.stopping();
    }
  }

  TEST_CASE("take_notify_options: the variables are read and removed") {
    set("NOTIFY_SOCKET", "/run/notify");
    set("WATCHDOG_USEC", "3000000");
    set("WATCHDOG_PID", std::to_string(::getpid()));

    const NotifyOptions options = take_notify_options();

    CHECK(options.socket == "/run/notify");
    CHECK(options.watchdog == std::chrono::seconds(3));
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
      CHECK_FALSE(is_set(name));
    }
  }

  TEST_CASE("take_notify_options: a watchdog for another process, or none, is no watchdog") {
    set("WATCHDOG_USEC", "3000000");
    set("WATCHDOG_PID", "1");
    CHECK(take_notify_options().watchdog.count() == 0);
    for (const std::string text : {"0", "-1", "soon", "9223372036854775807", ""}) {
      CAPTURE(text);
      set("WATCHDOG_USEC", text);
      CHECK(take_notify_options().watchdog.count() == 0);
    }
    CHECK(take_notify_options().socket.empty());
  }
}

TEST_SUITE("app::take_passed_socket") {
  TEST_CASE("take: variables for another process are removed and not followed") {
    set("LISTEN_PID", "1");
    set("LISTEN_FDS", "1");
    set("LISTEN_FDNAMES", "http");

    const auto socket = take_passed_socket();

    REQUIRE(socket.has_value());
    CHECK_FALSE(static_cast<bool>(*socket));
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      CHECK_FALSE(is_set(name));
    }
  }

  TEST_CASE("take: none is none, several and nonsense are errors") {
    struct {
      std::string count;
      bool sound;
    } const rows[] = {{"0", true}, {"2", false}, {"-1", false}, {"one", false}, {"", false}};
    for (const auto& row : rows) {
      CAPTURE(row.count);
      set("LISTEN_PID", std::to_string(::getpid()));
      set("LISTEN_FDS", row.count);

      const auto socket = take_passed_socket();

      CHECK(socket.has_value() == row.sound);
      CHECK_FALSE(is_set("LISTEN_FDS"));
    }
  }
}

} // namespace
} // namespace pkc::app
