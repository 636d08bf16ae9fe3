// A server on a listening socket that it was given.
#include "listener.hpp"
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace pkc::http::test {
namespace {

constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

Router hello_router() {
  return single(Method::get, "/hello", [](Request&) { return text_response("hello"); });
}

/// As from a service manager, which keeps its own descriptor of the socket: open and blocking.
UniqueFd passed_copy(int socket) {
  const int flags = ::fcntl(socket, F_GETFL);
  REQUIRE(::fcntl(socket, F_SETFL, flags & ~O_NONBLOCK) == 0);
  return UniqueFd(::dup(socket));
}

TEST_SUITE("http::adopt_listener") {
  TEST_CASE("start: a passed TCP socket takes the place of the address") {
    const auto listener = listen_on("127.0.0.1", 0);
    REQUIRE(listener.has_value());
    const std::uint16_t port = local_port(listener->get()).value();
    ServerOptions options;
    options.bind = "not an address";

    const auto server = Server::start(options, hello_router(), {}, {passed_copy(listener->get())});

    REQUIRE(server.has_value());
    CHECK((*server)->port() == port);
    CHECK((*server)->address() == "127.0.0.1:" + std::to_string(port));
    CHECK(Client(port).request(kHello).body == "hello");
  }

  TEST_CASE("stop: clients that come after it are served by the next server on the socket") {
    const auto listener = listen_on("127.0.0.1", 0);
    REQUIRE(listener.has_value());
    const auto first = Server::start({}, hello_router(), {}, {passed_copy(listener->get())});
    REQUIRE(first.has_value());
    CHECK(Client((*first)->port()).request(kHello).status == 200);
    CHECK((*first)->stop(kPatience));
    Client waiting((*first)->port());
    REQUIRE(waiting.send(kHello));

    const auto second = Server::start({}, hello_router(), {}, {passed_copy(listener->get())});

    REQUIRE(second.has_value());
    CHECK(waiting.read().body == "hello");
  }

  TEST_CASE("stop: the file of a passed Unix socket stays") {
    const pkc::test::TempDir directory;
    const auto made = listen_on_file(directory / "s", 0660);
    REQUIRE(made.has_value());
    const auto server = Server::start({}, hello_router(), {}, {passed_copy(made->socket.get())});
    REQUIRE(server.has_value());
    CHECK((*server)->address() == "unix:" + directory / "s");
    CHECK(Client(directory / "s").request(kHello).body == "hello");

    CHECK((*server)->stop(kPatience));

    CHECK(std::filesystem::is_socket(directory / "s"));
  }

  TEST_CASE("start: what is not a listening stream socket is refused") {
    UniqueFd sockets[] = {UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                          UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)),
                          UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC))};
    for (UniqueFd& socket : sockets) {
      const auto server = Server::start({}, hello_router(), {}, {std::move(socket)});

      REQUIRE_FALSE(server.has_value());
      CHECK(server.error().code == Errc::invalid_argument);
      CHECK(server.error().message.starts_with("cannot listen on the passed socket: "));
    }
  }
}

} // namespace
} // namespace pkc::http::test
