// A server told by signals, in this process, with shell scripts in the place of successors.
#include "lifecycle.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/http/server.hpp"
#include "pkc/store/readiness.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace pkc::app {
namespace {

constexpr std::chrono::seconds kPatience{20};

/// Remembers every line, and lets a test wait for one.
class RememberingLog final : public ops::Log {
 public:
  [[nodiscard]] bool enabled(ops::LogLevel /*level*/) const override { return true; }
  void write(ops::LogLevel /*level*/,
             std::string_view message,
             std::initializer_list<ops::Field> fields) override {
    const std::lock_guard lock(mutex_);
    text_ += message;
    for (const ops::Field& field : fields) {
      text_ += ' ' + std::string(field.key) + '=' + std::string(field.value());
    }
    text_ += '\n';
    written_.notify_all();
  }
  void flush() override {}

  [[nodiscard]] bool await(std::string_view text) {
    std::unique_lock lock(mutex_);
    return written_.wait_for(
        lock, kPatience, [&] { return text_.find(text) != std::string::npos; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable written_;
  std::string text_;
};

bool accepts(std::uint16_t port) {
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

/// A server that lives in a thread until the test ends it. The signals are sent to the test's own
/// process, in which all threads block them.
class Life {
 public:
  Life(const std::string& script, std::chrono::milliseconds successor_patience)
      : program_(Program{.path = "/bin/sh",
                         .arguments = {"sh", "-c", script},
                         .environment = {"PATH=/usr/bin:/bin"}}),
        signals_(Signals::make().value()),
        notifier_({.socket = "", .watchdog = {}}, log_),
        backend_(
            blob::make_disk_backend(posix_file_system(), {.root = directory_.path()}).value()) {
    http::ServerOptions options;
    options.port = 0;
    options.accepts_at_start = false;
    server_ = http::Server::start(options, {}, {}).value();
    lifecycle_.emplace(
        Service{.server = *server_,
                .backend = *backend_,
                .readiness = readiness_,
                .signals = signals_,
                .notifier = notifier_,
                .log = log_,
                .metrics = metrics_listener_,
                .access_log = nullptr,
                .clock = system_clock(),
                .program = program_},
        LifecycleOptions{.grace = kPatience, .successor_patience = successor_patience},
        std::nullopt);
    thread_ = std::jthread([this] { ended_well_ = lifecycle_->run().has_value(); });
    REQUIRE(log_.await("listening"));
  }

  RememberingLog& log() { return log_; }
  [[nodiscard]] bool serves() const { return accepts(server_->port()); }
  [[nodiscard]] bool is_stopping() { return readiness_.trouble() == "the server is shutting down"; }
  static void signal(int number) { REQUIRE(::kill(::getpid(), number) == 0); }
  bool end() {
    thread_.join();
    return ended_well_;
  }

 private:
  const Result<Program> program_;
  RememberingLog log_;
  Signals signals_;
  Notifier notifier_;
  pkc::test::TempDir directory_;
  std::unique_ptr<blob::Backend> backend_;
  store::Readiness readiness_{*backend_, system_clock(), log_};
  ops::Metrics metrics_;
  MetricsListener metrics_listener_{std::nullopt, metrics_, nullptr, log_};
  std::unique_ptr<http::Server> server_;
  std::optional<Lifecycle> lifecycle_;
  bool ended_well_ = false;
  std::jthread thread_;
};

TEST_SUITE("app::Lifecycle") {
  TEST_CASE("SIGUSR2: a successor that is not ready in time is given up") {
    Life life("exec sleep 600", std::chrono::milliseconds(50));

    Life::signal(SIGUSR2);

    CHECK(
        life.log().await("the successor is given up; serving on reason=it was not ready in time"));
    CHECK(life.serves());
    Life::signal(SIGTERM);
    CHECK(life.end());
  }

  // This successor ends with the channel, and that with the Lifecycle.
  TEST_CASE("SIGUSR2: a successor that is ready ends the life, and the socket stays") {
    Life life("printf R >&5; cat <&5 > /dev/null", kPatience);

    Life::signal(SIGUSR2);

    CHECK(life.log().await("handing over"));
    CHECK(life.end());
    CHECK_FALSE(life.is_stopping()); // the service goes on
    CHECK(life.serves());            // the queue of the successor's socket takes clients
  }

  TEST_CASE("SIGTERM: ends the life, and a successor that is not ready with it") {
    Life life("exec sleep 600", kPatience);
    Life::signal(SIGUSR2);
    REQUIRE(life.log().await("successor started"));

    Life::signal(SIGTERM);

    CHECK(life.end());
    CHECK(life.log().await("given up; serving on reason=this server is told to stop"));
    CHECK_FALSE(life.serves());
    CHECK(life.is_stopping());
  }
}

} // namespace
} // namespace pkc::app
