// The server on a Unix socket, and what becomes of its file.
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

Router basic_router() {
  Router router;
  router.add({Method::get, "/hello", RouteAccess::open(), [](Request&) {
                return text_response("hello");
              }});
  router.add({Method::put, "/echo", RouteAccess::open(), [](Request& request) {
                auto body = read_all(*request.body);
                return body ? text_response(*std::move(body)) : make_error(400, "broken body");
              }});
  return router;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(path.size() < sizeof(address.sun_path));
  std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
  return address;
}

/// A socket file as a killed server leaves it.
void leave_stale_file(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_un address = address_of(path);
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
}

Result<std::unique_ptr<Server>> start_on(const std::string& path,
                                         ServerOptions options = {},
                                         AccessLog log = {}) {
  options.bind = "unix:" + path;
  return Server::start(std::move(options), basic_router(), std::move(log));
}

mode_t mode_of(const std::string& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

TEST_SUITE("http::SocketFile") {
  TEST_CASE("unix: requests, bodies and keep-alive as over TCP") {
    const pkc::test::TempDir directory;
    const auto server = start_on(directory / "s");
    REQUIRE(server.has_value());
    Client client(directory / "s");
    const std::string body(3'000'000, 'b');

    CHECK(client.request(kHello).body == "hello");
    CHECK(client.request("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").status == 404);
    const Answer echo = client.request("PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                                       std::to_string(body.size()) + "\r\n\r\n" + body);
    CHECK(echo.body == body);
    CHECK(client.request(kHello).body == "hello");
    CHECK((*server)->address() == "unix:" + directory / "s");
    CHECK((*server)->port() == 0);
  }

  TEST_CASE("unix: pipelined requests are answered in order") {
    const pkc::test::TempDir directory;
    const auto server = start_on(directory / "s");
    REQUIRE(server.has_value());
    Client client(directory / "s");
    CHECK(echoes_pipelined(client, 100));
  }

  TEST_CASE("unix: the peer is known as unix, and as a trusted proxy it may name the client") {
    struct {
      std::vector<std::string> trusted;
      std::string client;
    } const rows[] = {{{}, "unix"}, {{"unix"}, "192.0.2.7"}, {{"127.0.0.1"}, "unix"}};
    for (const auto& row : rows) {
      const pkc::test::TempDir directory;
      std::mutex mutex;
      std::string seen;
      ServerOptions options;
      options.trusted_proxies = row.trusted;
      auto server = start_on(directory / "s", options, [&](const AccessRecord& record) {
        const std::lock_guard lock(mutex);
        seen = record.client_address;
      });
      REQUIRE(server.has_value());

      Client(directory / "s")
          .request("GET /hello HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
      CHECK((*server)->stop(kPatience));

      const std::lock_guard lock(mutex);
      CHECK(seen == row.client);
    }
  }

  TEST_CASE("start: the file has the mode of the options, whatever the umask") {
    const pkc::test::TempDir directory;
    for (const unsigned mode : {0600U, 0660U, 0666U}) {
      ServerOptions options;
      options.socket_mode = mode;

      const auto server = start_on(directory / "s", options);

      REQUIRE(server.has_value());
      CHECK(mode_of(directory / "s") == mode);
    }
  }

  TEST_CASE("start: the file of a dead server is replaced") {
    const pkc::test::TempDir directory;
    leave_stale_file(directory / "s");

    const auto server = start_on(directory / "s");

    REQUIRE(server.has_value());
    CHECK(Client(directory / "s").request(kHello).status == 200);
  }

  TEST_CASE("start: the file of a living server is refused, and that server stays reachable") {
    const pkc::test::TempDir directory;
    const auto first = start_on(directory / "s");
    REQUIRE(first.has_value());

    const auto second = start_on(directory / "s");

    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == Errc::conflict);
    CHECK(second.error().message ==
          "cannot listen on unix:" + directory / "s" + ": another server listens there");
    CHECK(Client(directory / "s").request(kHello).status == 200);
  }

  TEST_CASE("start: what is no socket is never removed") {
    const pkc::test::TempDir directory;
    std::ofstream(directory / "file") << "precious";
    std::filesystem::create_directory(directory / "folder");
    leave_stale_file(directory / "target");
    std::filesystem::create_symlink(directory / "target", directory / "link");

    for (const std::string name : {"file", "folder", "link"}) {
      CAPTURE(name);
      const auto server = start_on(directory / name);
      REQUIRE_FALSE(server.has_value());
      CHECK(server.error().code == Errc::conflict);
    }
    CHECK(std::filesystem::file_size(directory / "file") == 8);
    CHECK(std::filesystem::is_directory(directory / "folder"));
    CHECK(std::filesystem::is_symlink(directory / "link"));
  }

  TEST_CASE("start: a path that no socket can have is an error") {
    const pkc::test::TempDir directory;
    for (const std::string& path :
         {std::string("relative"), std::string(), "/" + std::string(107, 'x')}) {
      CAPTURE(path);
      const auto server = start_on(path);
      REQUIRE_FALSE(server.has_value());
      CHECK(server.error().code == Errc::invalid_argument);
    }
    const auto nowhere = start_on(directory / "absent/s");
    REQUIRE_FALSE(nowhere.has_value());
    CHECK(nowhere.error().code == Errc::io);
  }

  TEST_CASE("stop: the file is removed, a request in flight is finished") {
    const pkc::test::TempDir directory;
    const auto server = start_on(directory / "s");
    REQUIRE(server.has_value());
    Client client(directory / "s");
    REQUIRE(
        client.send("PUT /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                    "Content-Length: 4\r\n\r\n"));
    REQUIRE(client.read(false).status == 100);

    bool clean = false;
    std::jthread stopper([&] { clean = (*server)->stop(kPatience); });
    CHECK(eventually([&] { return !std::filesystem::exists(directory / "s"); }));
    REQUIRE(client.send("body"));

    CHECK(client.read().body == "body");
    stopper.join();
    CHECK(clean);
  }

  TEST_CASE("stop: a successor's file of the same name stays") {
    const pkc::test::TempDir directory;
    const auto first = start_on(directory / "s");
    REQUIRE(first.has_value());
    std::filesystem::remove(directory / "s");
    const auto second = start_on(directory / "s");
    REQUIRE(second.has_value());

    (*first)->stop(kPatience);

    CHECK(Client(directory / "s").request(kHello).status == 200);
  }
}

} // namespace
} // namespace pkc::http::test
