// Bodies over real loopback sockets: what is read, what is refused unread, and what is sent.
#include "support/temp_dir.hpp"
#include "unit/http/loopback.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/http/content.hpp"
#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::http::test {
namespace {

Response echo(Request& request) {
  auto body = read_all(*request.body);
  return body ? text_response(*std::move(body)) : make_error(400, "broken body");
}

Response refuse_unread(Request& /*request*/) {
  return make_error(409, "exists");
}

Router upload_router() {
  Router router;
  router.add({Method::put, "/echo", RouteAccess::open(), echo});
  router.add({Method::put, "/refuse", RouteAccess::open(), refuse_unread});
  return router;
}

constexpr std::string_view kRefusedPut = "PUT /refuse HTTP/1.1\r\nHost: x\r\n";
constexpr std::string_view kEchoPut = "PUT /echo HTTP/1.1\r\nHost: x\r\n";

std::string with(std::string_view head, std::string_view fields) {
  return std::string(head) + std::string(fields) + "\r\n";
}

TEST_SUITE("http::Server uploads") {
  TEST_CASE("chunked: arrives decoded, and the connection goes on") {
    const Loopback server(upload_router());
    Client client = server.client();
    const std::string request = with(kEchoPut, "Transfer-Encoding: chunked\r\n");

    CHECK(client.request(request + "3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nT: v\r\n\r\n").body ==
          "abcdefg");

    CHECK(client.request(request + "0\r\n\r\n").status == 200);
  }

  TEST_CASE("chunked: chunks larger than every buffer, sent in pieces") {
    const Loopback server(upload_router());
    Client client = server.client();
    const std::string chunk(300'000, 'c');
    REQUIRE(client.send(with(kEchoPut, "Transfer-Encoding: chunked\r\n")));
    REQUIRE(client.send("493E0\r\n" + chunk + "\r"));
    REQUIRE(client.send("\n493E0\r\n" + chunk + "\r\n0"));
    REQUIRE(client.send("\r\n\r\n"));

    CHECK(client.read().body == chunk + chunk);
  }

  TEST_CASE("chunked: malformed coding fails the read and ends the connection") {
    const Loopback server(upload_router());
    Client client = server.client();

    const Answer answer =
        client.request(with(kEchoPut, "Transfer-Encoding: chunked\r\n") + "3\nabc\r\n0\r\n\r\n");

    CHECK(answer.status == 400);
    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("no length: a PUT with neither length nor coding has an empty body") {
    const Loopback server(upload_router());
    Client client = server.client();

    CHECK(client.request(with(kEchoPut, "")).status == 200);
    CHECK(client.request(with(kEchoPut, "Content-Length: 2\r\n") + "ab").body == "ab");
  }

  TEST_CASE("length: is told to the handler before it reads") {
    Router router = single(Method::put, "/", [](Request& request) {
      const auto length = request.body->length();
      return text_response(length ? std::to_string(*length) : "unknown");
    });
    const Loopback server(std::move(router));
    Client client = server.client();

    CHECK(client.request("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc").body == "3");
    CHECK(client.request("PUT / HTTP/1.1\r\nHost: x\r\n\r\n").body == "0");
    CHECK(client.request("PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
              .body == "unknown");
  }

  TEST_CASE("100-continue: is sent when the handler reads") {
    const Loopback server(upload_router());
    Client client = server.client();
    REQUIRE(client.send(with(kEchoPut, "Content-Length: 3\r\nExpect: 100-Continue\r\n")));

    CHECK(client.read().status == 100);

    CHECK(client.request("abc").body == "abc");
  }

  TEST_CASE("100-continue: an early refusal comes without it, and the connection ends") {
    const Loopback server(upload_router());
    Client client = server.client();

    const Answer answer =
        client.request(with(kRefusedPut, "Content-Length: 3\r\nExpect: 100-continue\r\n"));

    CHECK(answer.status == 409);
    // Whether "abc" still comes cannot be known, so nothing behind it may be taken for a request.
    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("unread body: a small one is dropped and the connection kept") {
    const Loopback server(upload_router());
    Client client = server.client();
    const std::string body(60'000, 'b');
    const std::string request =
        with(kRefusedPut, "Content-Length: " + std::to_string(body.size()) + "\r\n");

    const Answer answer = client.request(request);
    CHECK(answer.status == 409);
    CHECK_FALSE(answer.has("Connection: close"));

    REQUIRE(client.send(body.substr(0, 100)));
    REQUIRE(client.send(body.substr(100)));
    CHECK(client.request(with(kEchoPut, "Content-Length: 1\r\n") + "x").body == "x");
  }

  TEST_CASE("unread body: of a large one the client reads the answer while it still sends") {
    const Loopback server(upload_router());
    Client client = server.client();
    const std::string body(8'000'000, 'b');
    REQUIRE(client.send(with(kRefusedPut, "Content-Length: 8000000\r\n")));
    REQUIRE(client.send(body));

    const Answer answer = client.read();

    CHECK(answer.status == 409);
    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("unread body: a chunked one ends the connection") {
    const Loopback server(upload_router());
    Client client = server.client();

    const Answer answer = client.request(with(kRefusedPut, "Transfer-Encoding: chunked\r\n") +
                                         "3\r\nabc\r\n0\r\n\r\n");

    CHECK(answer.status == 409);
    CHECK(client.read_to_end() == Client::End::closed);
  }

  TEST_CASE("lost body: the handler sees unavailable when the client goes away") {
    std::atomic<int> code = -1;
    const Loopback server(single(Method::put, "/", [&](Request& request) {
      const auto body = read_all(*request.body);
      code = body ? 0 : static_cast<int>(body.error().code);
      return make_error(400, "broken body");
    }));
    {
      Client client = server.client();
      client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
      client.finish_sending();
      CHECK(client.read().status == 400);
    }

    CHECK(code == static_cast<int>(Errc::unavailable));
  }

  TEST_CASE("stalled body: the handler sees timeout, and meanwhile others are served") {
    ServerOptions options;
    options.body_timeout = 300ms;
    options.workers_min = 1;
    options.workers_max = 4;
    std::atomic<int> code = -1;
    std::atomic<bool> reading = false;
    Router router;
    router.add({Method::put, "/", RouteAccess::open(), [&](Request& request) {
                  reading = true;
                  const auto body = read_all(*request.body);
                  code = body ? 0 : static_cast<int>(body.error().code);
                  return make_error(400, "the body stopped coming");
                }});
    router.add(
        {Method::get, "/", RouteAccess::open(), [](Request&) { return text_response("ok"); }});
    const Loopback server(std::move(router), options);
    Client stalled = server.client();
    REQUIRE(stalled.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"));
    REQUIRE(eventually([&] { return reading.load(); }));

    Client other = server.client();
    CHECK(other.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == "ok");
    CHECK(code == -1); // the only worker of the start still waits for the body

    const Answer answer = stalled.read();
    CHECK(answer.status == 400);
    CHECK(answer.has("\r\nConnection: close\r\n"));
    CHECK(code == static_cast<int>(Errc::timeout));
  }
}

/// Numbers, so that a piece in the wrong place shows.
std::string pattern(std::size_t size) {
  std::string text;
  while (text.size() < size) {
    text += std::to_string(text.size()) + ",";
  }
  text.resize(size);
  return text;
}

std::string write_file(const pkc::test::TempDir& directory, std::string_view content) {
  std::string path = directory / "file";
  auto file = posix_file_system().create(path);
  REQUIRE(file.has_value());
  REQUIRE((*file)->write(as_bytes(content)).has_value());
  return path;
}

/// A file that cannot be sent with sendfile.
class UndescribedFile final : public File {
 public:
  explicit UndescribedFile(std::string content) : content_(std::move(content)) {}
  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override {
    const std::string_view rest =
        std::string_view(content_).substr(std::min(offset, content_.size()));
    const std::size_t count = std::min(rest.size(), buffer.size());
    std::ranges::copy(as_bytes(rest.substr(0, count)), buffer.begin());
    return count;
  }
  Result<void> write(ByteSpan /*bytes*/) override { return fail(Errc::io, "read only"); }
  void begin_sync() override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] FileStat opened_stat() const override { return {}; }
  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  std::string content_;
};

/// Serves `path` as protocols do: range, conditions, sendfile. `claimed` is the length that is
/// announced.
Router file_router(std::string path, ByteCount claimed) {
  return single(Method::get, "/", [path = std::move(path), claimed](Request& request) {
    auto file = posix_file_system().open(path);
    const Representation representation{claimed, "\"tag\"", std::nullopt};
    const ContentPlan plan = plan_content(request, representation);
    Response response;
    apply_content_headers(response, plan, representation);
    if (plan.range.length > 0) {
      response.body = FileBody{std::move(*file), plan.range.offset, plan.range.length};
    }
    return response;
  });
}

TEST_SUITE("http::Server downloads") {
  TEST_CASE("file: small, large and empty ones arrive as they are") {
    for (const std::size_t size : {0U, 1U, 16'384U, 16'385U, 3'000'000U}) {
      CAPTURE(size);
      const pkc::test::TempDir directory;
      const std::string content = pattern(size);
      const Loopback server(file_router(write_file(directory, content), size));
      Client client = server.client();

      CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == content);
      const Answer head = client.request("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", false);
      CHECK(head.has("\r\nContent-Length: " + std::to_string(size) + "\r\n"));
      CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == content);
    }
  }

  TEST_CASE("file: ranges come from the right place, by copy and by sendfile") {
    const pkc::test::TempDir directory;
    const std::string content = pattern(200'000);
    const Loopback server(file_router(write_file(directory, content), content.size()));
    Client client = server.client();
    const std::string get = "GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=";

    const Answer small = client.request(get + "1000-1999\r\n\r\n");
    CHECK(small.status == 206);
    CHECK(small.body == content.substr(1000, 1000));
    const Answer large = client.request(get + "-150000\r\n\r\n");
    CHECK(large.has("\r\nContent-Range: bytes 50000-199999/200000\r\n"));
    CHECK(large.body == content.substr(50'000));
    CHECK(client.request(get + "200000-\r\n\r\n").status == 416);
  }

  TEST_CASE("file: one without a descriptor is read and sent") {
    const std::string content = pattern(200'000);
    const Loopback server(single(Method::get, "/", [&](Request&) {
      Response response;
      response.body = FileBody{std::make_shared<UndescribedFile>(content), 10, 150'000};
      return response;
    }));
    Client client = server.client();

    CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == content.substr(10, 150'000));
  }

  TEST_CASE("file: one that is shorter than announced ends in a reset") {
    for (const std::size_t size : {1'000U, 100'000U}) {
      CAPTURE(size);
      const pkc::test::TempDir directory;
      const Loopback server(file_router(write_file(directory, pattern(size)), size + 10));
      Client client = server.client();
      REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));

      CHECK(client.read_to_end() == Client::End::reset);
    }
  }

  TEST_CASE("write timeout: a client that takes nothing is reset and logged as aborted") {
    ServerOptions options;
    options.write_timeout = 200ms;
    std::atomic<bool> aborted = false;
    const Loopback server(
        single(
            Method::get, "/", [](Request&) { return text_response(std::string(64'000'000, 'x')); }),
        options,
        [&](const AccessRecord& record) { aborted = record.aborted; });
    Client client(server.port(), 4096);
    REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));

    CHECK(eventually([&] { return aborted.load(); }));
    CHECK(client.read_to_end() == Client::End::reset);
  }
}

/// Gives `good` bytes, then fails, ends, or goes on for ever.
class ScriptedSource final : public ByteSource {
 public:
  enum class Then {
    fail,
    end,
    go_on,
  };
  ScriptedSource(ByteCount good, Then then) : left_(good), then_(then) {}

  Result<std::size_t> read(MutableByteSpan buffer) override {
    if (left_ == 0 && then_ == Then::fail) {
      return pkc::fail(Errc::corrupt, "digest mismatch");
    }
    if (left_ == 0 && then_ == Then::end) {
      return 0;
    }
    const auto count = left_ == 0
                           ? buffer.size()
                           : static_cast<std::size_t>(std::min<ByteCount>(left_, buffer.size()));
    std::ranges::fill(buffer.first(count), std::byte{'s'});
    left_ -= std::min<ByteCount>(left_, count);
    return count;
  }

 private:
  ByteCount left_;
  Then then_;
};

Router stream_router(ByteCount good, ScriptedSource::Then then, ByteCount announced) {
  return single(Method::get, "/", [=](Request&) {
    Response response;
    response.body = StreamBody{std::make_unique<ScriptedSource>(good, then), announced};
    return response;
  });
}

TEST_SUITE("http::Server streams") {
  TEST_CASE("stream: arrives whole, and the connection goes on") {
    for (const ByteCount size : {0U, 5U, 65'536U, 1'000'000U}) {
      CAPTURE(size);
      const Loopback server(stream_router(size, ScriptedSource::Then::end, size));
      Client client = server.client();

      CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body == std::string(size, 's'));
      CHECK(client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").body.size() == size);
    }
  }

  TEST_CASE("stream: a failure, a short and a long source end in a reset, never in a whole body") {
    struct {
      std::string_view name;
      ByteCount good;
      ScriptedSource::Then then;
      ByteCount announced;
    } const rows[] = {
        {"fails at once", 0, ScriptedSource::Then::fail, 10},
        {"fails half-way", 500'000, ScriptedSource::Then::fail, 1'000'000},
        {"fails at its end", 1'000'000, ScriptedSource::Then::fail, 1'000'000},
        {"fails at its end, small", 10, ScriptedSource::Then::fail, 10},
        {"is short", 999'999, ScriptedSource::Then::end, 1'000'000},
        {"is long", 1'000'000, ScriptedSource::Then::go_on, 1'000'000},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      std::atomic<bool> aborted = false;
      const Loopback server(
          stream_router(row.good, row.then, row.announced), {}, [&](const AccessRecord& record) {
            aborted = record.aborted && !record.failure.empty();
          });
      Client client = server.client();
      REQUIRE(client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));

      CHECK(client.read_to_end() == Client::End::reset);
      const std::size_t blank = client.unread().find("\r\n\r\n");
      const std::size_t body = blank == std::string::npos ? 0 : client.unread().size() - blank - 4;
      CHECK(body < row.announced);
      CHECK(eventually([&] { return aborted.load(); }));
    }
  }
}

} // namespace
} // namespace pkc::http::test
