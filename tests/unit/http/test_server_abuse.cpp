// Clients that do what they should not, many at once, over real loopback sockets.
#include "unit/http/loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr unsigned kThreads = 8;
constexpr int kRounds = 60;

class Zeros final : public ByteSource {
 public:
  Result<std::size_t> read(MutableByteSpan buffer) override {
    std::ranges::fill(buffer, std::byte{0});
    return buffer.size();
  }
};

Router abuse_router() {
  Router router;
  router.add({Method::get, "/small", RouteAccess::open(), [](Request&) {
                return text_response("small");
              }});
  router.add({Method::get, "/large", RouteAccess::open(), [](Request&) {
                return text_response(std::string(3'000'000, 'l'));
              }});
  router.add({Method::get, "/endless", RouteAccess::open(), [](Request&) {
                Response response;
                response.body = StreamBody{std::make_unique<Zeros>(), kGiB};
                return response;
              }});
  router.add({Method::get, "/throws", RouteAccess::open(), [](Request&) -> Response {
                throw std::runtime_error("as scripted");
              }});
  router.add({Method::put, "/echo", RouteAccess::open(), [](Request& request) {
                auto body = read_all(*request.body);
                return body ? text_response(*std::move(body)) : make_error(400, "broken body");
              }});
  router.add({Method::put, "/refuse", RouteAccess::open(), [](Request&) {
                return make_error(413, "too large");
              }});
  return router;
}

/// One thing a client does before it vanishes, with or without RST.
void misbehave(const Loopback& server, std::mt19937& random) {
  const std::string end = " HTTP/1.1\r\nHost: x\r\n";
  const std::string scripts[] = {
      "",
      "GET /small" + end,
      "GET /small" + end + "\r\n",
      "GET /large" + end + "\r\n",
      "GET /endless" + end + "\r\n",
      "GET /throws" + end + "\r\n",
      "GET /small\n\n",
      "PUT /echo" + end + "Content-Length: 100000\r\n\r\n" + std::string(50'000, 'b'),
      "PUT /echo" + end + "Transfer-Encoding: chunked\r\n\r\nFFFF\r\nabc",
      "PUT /echo" + end + "Transfer-Encoding: chunked\r\n\r\nxyz",
      "PUT /refuse" + end + "Content-Length: 3000000\r\n\r\n" + std::string(200'000, 'b'),
      "PUT /refuse" + end + "Content-Length: 10\r\n\r\nabc",
      "PUT /echo" + end + "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n",
      "GET /small" + end + "\r\nGET /large" + end + "\r\nGET /sm",
  };
  Client client = server.client();
  client.send(scripts[random() % std::size(scripts)]);
  const auto ending = random() % 4;
  if (ending == 0) {
    client.reset_on_close();
  } else if (ending == 1) {
    client.finish_sending();
  } else if (ending == 2) {
    static_cast<void>(client.readable(std::chrono::milliseconds(random() % 5)));
  }
}

TEST_SUITE("http::Server abuse") {
  TEST_CASE("aborts: whatever clients do, honest ones are served right and nothing is left") {
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 16;
    options.body_timeout = 2s;
    options.write_timeout = 2s;
    options.head_timeout = 2s;
    const Loopback server(abuse_router(), options);
    std::atomic<int> wrong = 0;

    {
      std::vector<std::jthread> threads;
      for (unsigned seed = 0; seed < kThreads; ++seed) {
        threads.emplace_back([&, seed] {
          std::mt19937 random(seed);
          Client honest = server.client();
          for (int round = 0; round < kRounds; ++round) {
            misbehave(server, random);
            const std::string body(random() % 100'000, 'h');
            const Answer answer = honest.request(
                "PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
            wrong += answer.status == 200 && answer.body == body ? 0 : 1;
          }
        });
      }
    }

    CHECK(wrong == 0);
    CHECK(eventually([&] { return server->load().connections == 0; }));
  }

  TEST_CASE("restarts: servers come and go under load without a hang") {
    for (int round = 0; round < 20; ++round) {
      auto server = std::make_unique<Loopback>(abuse_router());
      std::atomic<bool> done = false;
      std::vector<std::jthread> threads;
      for (unsigned seed = 0; seed < 4; ++seed) {
        threads.emplace_back([&, seed, port = server->port()] {
          while (!done) {
            try {
              Client client(port);
              client.request("GET /small HTTP/1.1\r\nHost: x\r\n\r\n");
            } catch (const std::runtime_error&) { // it is gone, as it should be
              std::this_thread::yield();
            }
          }
        });
      }
      Client client = server->client();
      CHECK(client.request("GET /small HTTP/1.1\r\nHost: x\r\n\r\n").status == 200);

      CHECK((*server)->stop(kPatience));

      done = true;
    }
  }
}

} // namespace
} // namespace pkc::http::test
