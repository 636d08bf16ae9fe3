// Limits of bytes per second over real sockets. A transfer may always take longer than its limit
// says, so only the least time is looked at.
#include "access_fixture.hpp"
#include "loopback.hpp"
#include "support/temp_dir.hpp"
#include "unit/http/waiting_fixture.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/http/auth.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::http::test {
namespace {

constexpr ByteCount kRate = 1 * kMiB;
constexpr std::size_t kBody = 5 * kMiB / 4; ///< a fifth of it is more than is saved up
constexpr SteadyTime::duration kLeast = 249ms;

class TextSource final : public ByteSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read(MutableByteSpan buffer) override {
    const std::size_t count = std::min({buffer.size(), text_.size() - done_, std::size_t{1000}});
    text_.copy(reinterpret_cast<char*>(buffer.data()), count, done_);
    done_ += count;
    return count;
  }

 private:
  std::string text_;
  std::size_t done_ = 0;
};

/// A server with a body of every kind, and places for what is put.
class Site {
 public:
  explicit Site(AccessRules rules, const ServerOptions& options = {})
      : control(std::make_shared<AccessControl>(std::move(rules))), server(router(), options) {}

  const std::string text = pattern(kBody);
  std::shared_ptr<AccessControl> control;

 private:
  std::shared_ptr<File> make_file() const {
    const std::string path = directory_.path() + "/body";
    const auto made = posix_file_system().create(path);
    REQUIRE(made.has_value());
    REQUIRE((*made)->write(as_bytes(text)).has_value());
    auto opened = posix_file_system().open(path);
    REQUIRE(opened.has_value());
    return *std::move(opened);
  }
  Router router() {
    Router router;
    router.guard(control);
    const auto add = [&](const std::string& path, auto make) {
      router.add({Method::get, path, RouteAccess::read("nix"), [make](Request&) {
                    Response response = make_response(200);
                    make(response);
                    return response;
                  }});
    };
    const std::shared_ptr<File> file = make_file();
    add("/text", [this](Response& response) { response.body = text; });
    add("/small", [](Response& response) { response.body = "small"; });
    add("/file", [file](Response& response) {
      response.body = FileBody{.file = file, .offset = 0, .length = kBody};
    });
    add("/undescribed", [file](Response& response) {
      response.body =
          FileBody{.file = std::make_shared<UndescribedFile>(file), .offset = 0, .length = kBody};
    });
    source_ = std::make_shared<GrowingSource>(file, kBody / 3);
    source_->grow_to(kBody);
    source_->end();
    add("/pieces", [this](Response& response) {
      response.body = PiecesBody{.source = source_, .offset = 0, .length = kBody};
    });
    add("/chunks", [this](Response& response) {
      response.body = PiecesBody{.source = source_, .offset = 0, .length = std::nullopt};
    });
    add("/later", [file](Response& response) {
      response.body = Deferred{[](const Wake& wake) { wake(); },
                               [file] {
                                 Response later = make_response(200);
                                 later.body = FileBody{.file = file, .offset = 0, .length = kBody};
                                 return later;
                               }};
    });
    add("/stream", [this](Response& response) {
      response.body = StreamBody{.source = std::make_unique<TextSource>(text), .length = kBody};
    });
    router.add({Method::head, "/text", RouteAccess::read("nix"), [this](Request&) {
                  return text_response(text);
                }});
    router.add({Method::put, "/text", RouteAccess::write("nix"), [this](Request& request) {
                  const auto body = read_all(*request.body);
                  return make_error(body && *body == text ? 201 : 400, "");
                }});
    router.add({Method::put, "/taken", RouteAccess::write("nix"), [](Request&) {
                  return make_error(409, "there is one");
                }});
    return router;
  }

  pkc::test::TempDir directory_;
  std::shared_ptr<GrowingSource> source_;

 public:
  Loopback server; ///< behind all that its handlers use
};

AccessRules limited(ByteCount reads, ByteCount writes) {
  AccessRules rules = plain_rules();
  for (TokenRule& token : rules.tokens) {
    if (token.name == "writer") {
      token.limits.read_bytes_per_second = reads;
      token.limits.write_bytes_per_second = writes;
    }
  }
  return rules;
}

std::string head(std::string_view start, const std::string& name, std::string_view fields = "") {
  return std::string(start) + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token_of(name) +
         "\r\n" + std::string(fields) + "\r\n";
}

std::string chunked(std::string_view text) {
  constexpr std::size_t kChunk = 0x8000;
  std::string all;
  for (; !text.empty(); text.remove_prefix(std::min(kChunk, text.size()))) {
    const std::string_view piece = text.substr(0, kChunk);
    REQUIRE(piece.size() == kChunk); // of which the text is a multiple
    all.append("8000\r\n").append(piece).append("\r\n");
  }
  return all + "0\r\n\r\n";
}

SteadyTime now() {
  return system_clock().steady_now();
}

TEST_SUITE("http::AccessControl bytes per second") {
  TEST_CASE("download: every kind of body arrives whole, and no faster than allowed") {
    for (const std::string path :
         {"/text", "/file", "/undescribed", "/pieces", "/chunks", "/stream", "/later"}) {
      CAPTURE(path);
      Site site(limited(kRate, 0));
      Client client = site.server.client();
      const SteadyTime start = now();

      const Answer answer = client.request(head("GET " + path, "writer"));

      CHECK(now() - start > kLeast);
      CHECK(answer.status == 200);
      CHECK((answer.body == site.text));
      CHECK(client.request(head("GET /small", "writer")).body == "small"); // the connection goes on
    }
  }

  TEST_CASE("download: all transfers of the token count together, small ones too") {
    Site site(limited(kRate, 0));
    Client first = site.server.client();
    Client second = site.server.client();
    const SteadyTime start = now();

    REQUIRE(first.send(head("GET /file", "writer")));
    REQUIRE(second.send(head("GET /stream", "writer")));
    CHECK((first.read().body == site.text));
    CHECK((second.read().body == site.text));

    CHECK(now() - start > 6 * kLeast - 5ms); // 2.5 MiB, of which 1 at once
    const SteadyTime small = now();
    site.control->replace(limited(1 * kKiB, 0));
    for (int i = 0; i < 300; ++i) {
      REQUIRE(first.request(head("GET /small", "writer")).body == "small");
    }
    CHECK(now() - small > 450ms); // 1500 bytes
  }

  TEST_CASE("download: HEAD sends nothing and waits for nothing") {
    ServerOptions options;
    options.workers_max = 8;
    Site site(limited(1 * kKiB, 0), options);
    Client waiting = site.server.client();
    REQUIRE(waiting.request(head("GET /stream", "writer"), false).status == 200);
    Client client = site.server.client();

    CHECK(client.request(head("HEAD /text", "writer"), false).status == 200);
    CHECK(site.server->load().refused_paced == 0);
  }

  TEST_CASE("upload: sized and chunked arrive whole, and no faster than allowed") {
    for (const bool sized : {true, false}) {
      CAPTURE(sized);
      Site site(limited(0, kRate));
      Client client = site.server.client();
      const std::string fields = sized ? "Content-Length: " + std::to_string(kBody) + "\r\n"
                                       : "Transfer-Encoding: chunked\r\n";
      const SteadyTime start = now();

      REQUIRE(client.send(head("PUT /text", "writer", fields)));
      REQUIRE(client.send(sized ? site.text : chunked(site.text)));

      CHECK(client.read().status == 201);
      CHECK(now() - start > kLeast);
    }
  }

  TEST_CASE("upload: a body that is not read costs nothing") {
    ServerOptions options;
    options.workers_max = 8;
    Site site(limited(1 * kKiB, kRate), options);
    Client waiting = site.server.client();
    REQUIRE(waiting.request(head("GET /stream", "writer"), false).status ==
            200);                  // has the one place
    for (int i = 0; i < 20; ++i) { // else the first would take all that is saved up
      Client client = site.server.client();
      CHECK(client
                .request(head(
                    "PUT /taken", "writer", "Expect: 100-continue\r\nContent-Length: 1048576\r\n"))
                .status == 409);
    }
    CHECK(site.server->load().refused_paced == 0);
  }

  TEST_CASE(
      "those who wait with a worker keep nobody else out: one more gets 503, others are served") {
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 8; // an eighth may wait
    Site site(limited(1 * kKiB, 1 * kKiB), options);
    Client waiting = site.server.client();
    REQUIRE(waiting.request(head("GET /stream", "writer"), false).status == 200); // has its place
    Client client = site.server.client();

    const Answer refused = client.request(head("GET /stream", "writer"));
    CHECK(refused.status == 503);
    CHECK(refused.has("\r\nRetry-After: 1\r\n"));
    CHECK(client
              .request(head(
                  "PUT /text", "writer", "Expect: 100-continue\r\nContent-Length: 1048576\r\n"))
              .status == 503);
    CHECK(site.server->load().refused_paced == 2);
    Client other = site.server.client();
    for (int i = 0; i < 20; ++i) {
      REQUIRE((other.request(head("GET /text", "reader")).body == site.text));
    }
    waiting.reset_on_close();
    {
      const Client gone = std::move(waiting);
    }
    CHECK(eventually([&] { // its place is free again
      Client next = site.server.client();
      return next.request(head("GET /stream", "writer"), false).status == 200;
    }));
  }

  TEST_CASE("files and pieces wait without a worker, as many as like") {
    ServerOptions options;
    options.workers_min = 2;
    options.workers_max = 8;
    Site site(limited(64 * kKiB, 0), options); // all of them would take minutes
    std::vector<Client> waiting;
    for (const std::string path : {"/file", "/pieces", "/undescribed", "/later"}) {
      for (int i = 0; i < 5; ++i) {
        waiting.push_back(site.server.client());
        REQUIRE(waiting.back()
                    .request(head("GET " + path, "writer", "Connection: close\r\n"), false)
                    .status == 200);
      }
    }

    CHECK(eventually([&] { return site.server->load().connections_waiting == 20; }));
    CHECK(site.server->load().refused_paced == 0);
    Client other = site.server.client();
    for (int i = 0; i < 20; ++i) {
      REQUIRE((other.request(head("GET /text", "reader")).body == site.text));
    }
    waiting.back().reset_on_close();
    waiting.pop_back();
    CHECK(eventually([&] { return site.server->load().connections == 20; }));
    site.control->replace(limited(0, 0));
    for (Client& client : waiting) {
      CHECK(client.read_to_end() == Client::End::closed);
      CHECK((client.unread() == site.text));
    }
  }

  TEST_CASE("a limit that is lifted lets go of who waits for it") {
    Site site(limited(1 * kKiB, 1 * kKiB)); // it would take half an hour
    Client down = site.server.client();
    REQUIRE(down.request(head("GET /stream", "writer", "Connection: close\r\n"), false).status ==
            200);

    site.control->replace(limited(0, 0));

    CHECK(down.read_to_end() == Client::End::closed);
    CHECK((down.unread() == site.text));
  }

  TEST_CASE("a stop cuts off who waits when the grace is over") {
    Site site(limited(1, 1)); // a turn comes after a quarter of an hour
    Client down = site.server.client();
    Client up = site.server.client();
    REQUIRE(down.request(head("GET /file", "writer"), false).status == 200);
    REQUIRE(up.request(
                  head("PUT /text",
                       "writer",
                       "Expect: 100-continue\r\nContent-Length: " + std::to_string(kBody) + "\r\n"))
                .status == 100);
    REQUIRE(up.send(site.text));

    CHECK_FALSE(site.server->stop(10ms));

    CHECK(down.read_to_end() != Client::End::open);
    CHECK(down.unread().size() < kBody);
  }
}

} // namespace
} // namespace pkc::http::test
