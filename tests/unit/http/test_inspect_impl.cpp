// Looks at an address or a socket file that leave them free for a server.
#include "listener.hpp"
#include "socket_file.hpp"
#include "support/temp_dir.hpp"

#include "pkc/http/inspect.hpp"

#include <doctest/doctest.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace pkc::http::test {
namespace {

std::uint16_t port_of(const Result<UniqueFd>& socket) {
  REQUIRE(socket.has_value());
  return local_port(socket->get()).value();
}

TEST_SUITE("http::try_address") {
  TEST_CASE("try: free, in use, of nobody, no address") {
    const auto listener = listen_on("127.0.0.1", 0);
    const std::uint16_t port = port_of(listener);

    CHECK(try_address("127.0.0.1", 0).value_or(-1) == 0);
    CHECK(try_address("127.0.0.1", port).value_or(-1) == EADDRINUSE);
    CHECK(try_address("192.0.2.1", port).value_or(-1) == EADDRNOTAVAIL);
    const auto unknown = try_address("not an address", port);
    REQUIRE_FALSE(unknown.has_value());
    CHECK(unknown.error().code == Errc::invalid_argument);
  }

  TEST_CASE("try: leaves the address free") {
    std::uint16_t port = 0;
    {
      port = port_of(listen_on("127.0.0.1", 0));
    }

    CHECK(try_address("127.0.0.1", port).value_or(-1) == 0);

    CHECK(listen_on("127.0.0.1", port).has_value());
  }

  TEST_CASE("bind: an address that is bound as a look binds it can still be listened on") {
    // What try_address() rests on, at the moment when it has the address.
    const UniqueFd look(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    REQUIRE(::setsockopt(look.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(look.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);

    CHECK(listen_on("127.0.0.1", local_port(look.get()).value()).has_value());
  }
}

TEST_SUITE("http::listen_on") {
  TEST_CASE("listen: a failure says what to do") {
    const auto listener = listen_on("127.0.0.1", 0);
    const std::uint16_t port = port_of(listener);

    const auto second = listen_on("127.0.0.1", port);

    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().message ==
          "cannot listen on 127.0.0.1:" + std::to_string(port) +
              ": the address is in use by another program; stop that, or choose another port");
    const auto elsewhere = listen_on("192.0.2.1", 0);
    REQUIRE_FALSE(elsewhere.has_value());
    CHECK(elsewhere.error().message ==
          "cannot listen on 192.0.2.1:0: no network interface of this machine has that address");
  }
}

TEST_SUITE("http::inspect_socket_path") {
  TEST_CASE("inspect: free, alive, stale, foreign, and none of them is touched") {
    const pkc::test::TempDir directory;
    const std::string path = directory / "s";
    const auto state = [&] { return inspect_socket_path(path).value(); };

    CHECK(state() == SocketPath::free);
    {
      auto listening = listen_on_file(path, 0600);
      REQUIRE(listening.has_value());
      CHECK(state() == SocketPath::alive);
      listening->file->give_up(); // as a crash does
    }
    CHECK(state() == SocketPath::stale);
    CHECK(std::filesystem::is_socket(path));
    std::filesystem::remove(path);
    std::ofstream(path) << "precious";
    CHECK(state() == SocketPath::foreign);
    CHECK(std::filesystem::file_size(path) == 8);
    CHECK(inspect_socket_path("relative").error().code == Errc::invalid_argument);
  }
}

} // namespace
} // namespace pkc::http::test
