// The Polykit routes without a socket: what is answered, what is stored, and that a refusal comes
// before the body.
#include "support/artifact_builder.hpp"
#include "support/fault_file_system.hpp"
#include "support/store_fixture.hpp"

#include "pkc/protocols/polykit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

using pkc::ByteCount;
using pkc::Errc;
using pkc::Result;
using pkc::http::Method;
using pkc::http::Request;
using pkc::http::Response;
using pkc::test::artifact_body;
using pkc::test::kArtifactKey;

namespace {

/// A body in memory that remembers whether anybody asked for it.
class FakeBody final : public pkc::http::RequestBody {
 public:
  Result<std::size_t> read(pkc::MutableByteSpan buffer) override {
    was_read = true;
    if (at_ == content.size() && failure) {
      return pkc::fail(*failure, "injected");
    }
    const std::size_t count = std::min(buffer.size(), content.size() - at_);
    std::ranges::copy(pkc::as_bytes(content).subspan(at_, count), buffer.begin());
    at_ += count;
    return count;
  }
  [[nodiscard]] std::optional<ByteCount> length() const override { return announced; }

  std::string content;
  std::optional<ByteCount> announced;
  std::optional<Errc> failure; // at the end of content
  bool was_read = false;

 private:
  std::size_t at_ = 0;
};

struct World {
  explicit World(pkc::store::StoreOptions store_options = {},
                 const pkc::protocols::PolykitOptions& options = {})
      : fixture(disk, "/cache", store_options) {
    REQUIRE(fixture.start());
    pkc::protocols::mount_polykit(router, fixture.store(), pkc::ops::null_log(), metrics, options);
  }

  Response send(Method method,
                std::string_view key,
                FakeBody& body,
                const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    Request request;
    request.method = method;
    request.path = "/v1/artifacts/" + std::string(key);
    for (const auto& [name, value] : headers) {
      request.headers.add(name, value);
    }
    request.body = &body;
    return router.dispatch(request);
  }
  Response send(Method method,
                std::string_view key,
                const std::vector<std::pair<std::string, std::string>>& headers = {}) {
    FakeBody none;
    none.announced = 0;
    return send(method, key, none, headers);
  }
  Response put(std::string_view key, std::string content) {
    FakeBody body;
    body.announced = content.size();
    body.content = std::move(content);
    return send(Method::put, key, body);
  }

  pkc::test::FaultFileSystem disk;
  pkc::ops::Metrics metrics;
  pkc::test::StoreFixture fixture;
  pkc::http::Router router;
};

std::string text_of(const Response& response) {
  return std::get<std::string>(response.body);
}

/// The bytes a client would receive; nothing when the transfer would break.
std::optional<std::string> bytes_of(Response& response) {
  if (auto* stream = std::get_if<pkc::http::StreamBody>(&response.body)) {
    auto content = pkc::test::read_all(*stream->source);
    return content ? std::optional(*content) : std::nullopt;
  }
  if (const auto* file = std::get_if<pkc::http::FileBody>(&response.body)) {
    std::string content(file->length, '\0');
    content.resize(
        file->file->read_at(file->offset, std::as_writable_bytes(std::span(content))).value());
    return content;
  }
  return text_of(response);
}

std::string header(const Response& response, std::string_view name) {
  return std::string(response.headers.get(name).value_or("(none)"));
}

std::string hash_of(std::string_view content) {
  return pkc::sha256(pkc::as_bytes(content)).hex();
}

constexpr pkc::store::StoreOptions kStreaming{.verify_reads = pkc::store::VerifyReads::first,
                                              .verify_ahead_max = 10};

} // namespace

TEST_SUITE("protocols::polykit put") {
  TEST_CASE("an artifact is stored byte for byte with the facts of the original") {
    World world;
    const std::string body = artifact_body();
    const Response response = world.put(kArtifactKey, body);
    CHECK(response.status == 201);
    CHECK(text_of(response).empty());
    const auto files = world.disk.files("/cache/de");
    CHECK(files.at("/cache/de/4d/" + std::string(kArtifactKey) + ".zst") == body);
    CHECK(files.at("/cache/de/4d/" + std::string(kArtifactKey) + ".json")
              .starts_with(R"({"hash":")" + hash_of(body) + R"(","size":)" +
                           std::to_string(body.size()) + R"(,"created_at":)"));
  }

  TEST_CASE("a bad key is 400 before the body is read") {
    World world;
    for (const std::string_view key : {"short",
                                       "zz4d5c60d8d21a4c2ccd99bdfaa0ff92f25fff1c",
                                       "..%2f..%2fde4d5c60d8d21a4c2ccd99bdfaa0"}) {
      CAPTURE(key);
      FakeBody body;
      CHECK(world.send(Method::put, key, body).status == 400);
      CHECK_FALSE(body.was_read);
    }
  }

  TEST_CASE("an announced body over the limit is 413 before it is read") {
    World world({}, {.body_size_max = 100});
    FakeBody body;
    body.announced = 101;
    CHECK(world.send(Method::put, kArtifactKey, body).status == 413);
    CHECK_FALSE(body.was_read);
  }

  TEST_CASE("an existing key is 409 before the body is read") {
    World world;
    REQUIRE(world.put(kArtifactKey, artifact_body()).status == 201);
    FakeBody body;
    body.announced = 1000;
    const Response response = world.send(Method::put, kArtifactKey, body);
    CHECK(response.status == 409);
    CHECK(text_of(response) ==
          R"({"error":"Artifact )" + std::string(kArtifactKey) + R"( already exists"})");
    CHECK_FALSE(body.was_read);
  }

  TEST_CASE("a chunked body is cut off at the limit with 413 and leaves nothing") {
    const std::string artifact = artifact_body();
    World world({}, {.body_size_max = artifact.size() - 1});
    FakeBody body;
    body.content = artifact;
    CHECK(world.send(Method::put, kArtifactKey, body).status == 413);
    CHECK(world.disk.files("/cache/tmp").empty());
    CHECK(world.send(Method::head, kArtifactKey).status == 404);
  }

  TEST_CASE("a body of exactly the limit is accepted") {
    const std::string artifact = artifact_body();
    World world({}, {.body_size_max = artifact.size()});
    CHECK(world.put(kArtifactKey, artifact).status == 201);
  }

  TEST_CASE("what is no artifact of this key is 422 with a reason, and leaves nothing") {
    World world;
    for (const std::string& content : {std::string("not zstd"),
                                       std::string(),
                                       artifact_body().substr(0, 100),
                                       artifact_body({.key = std::string(40, 'f')})}) {
      const Response response = world.put(kArtifactKey, content);
      CHECK(response.status == 422);
      CHECK(text_of(response).starts_with(R"({"error":")"));
      CHECK(world.disk.files("/cache/tmp").empty());
    }
    CHECK(world.send(Method::get, kArtifactKey).status == 404);
  }

  TEST_CASE("a body that ends early or stalls is 400 and close, and leaves nothing") {
    for (const Errc failure : {Errc::unavailable, Errc::timeout}) {
      World world;
      FakeBody body;
      body.content = artifact_body().substr(0, 100);
      body.failure = failure;
      const Response response = world.send(Method::put, kArtifactKey, body);
      CHECK(response.status == 400);
      CHECK(response.close_connection);
      CHECK(world.disk.files("/cache/tmp").empty());
    }
  }

  TEST_CASE("an artifact that finds no room to be checked in is checked when it is there") {
    const std::string good = artifact_body({}, {.window_log = 27});
    const std::string cut = good.substr(0, good.size() - 1);
    std::string flipped = good;
    flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
    World world;
    CHECK(world.put(kArtifactKey, cut).status == 422);
    CHECK(world.put(kArtifactKey, flipped).status == 422);
    CHECK(world.disk.files("/cache/tmp").empty());
    CHECK(world.send(Method::get, kArtifactKey).status == 404);

    CHECK(world.put(kArtifactKey, good).status == 201);

    Response response = world.send(Method::get, kArtifactKey);
    CHECK(bytes_of(response) == good);
  }

  TEST_CASE("an artifact that cannot be read back to be checked is our failure, not the client's") {
    World world;
    std::uint64_t failures = 0;
    for (std::uint64_t n = 0; n < 8; ++n) {
      world.disk.fail_call(n, Errc::corrupt);
      const int status = world.put(kArtifactKey, artifact_body({}, {.window_log = 27})).status;
      world.disk.fail_call(std::nullopt);
      failures += status == 500 ? 1U : 0U;
      if (status == 201) {
        break;
      }
      CHECK(status == 500);
      CHECK(world.disk.files("/cache/tmp").empty());
    }
    CHECK(failures > 2);
  }

  TEST_CASE(
      "a full disk is 507 and any other failure 500, whichever call fails; nothing leaks, nothing "
      "stays") {
    for (const auto& [code, status] : {std::pair(Errc::no_space, 507), std::pair(Errc::io, 500)}) {
      std::uint64_t failures = 0;
      for (std::uint64_t n = 0; n < 30; ++n) {
        CAPTURE(n);
        World world;
        world.disk.fail_call(n, code);
        const Response response = world.put(kArtifactKey, artifact_body());
        if (response.status == 201) {
          continue; // the call had no effect on the answer: beyond the last one, or a retried one
        }
        ++failures;
        CHECK(response.status == status);
        CHECK(text_of(response) == (status == 507 ? R"({"error":"the storage is full"})"
                                                  : R"({"error":"the storage failed"})"));
        world.disk.fail_call(std::nullopt);
        CHECK(world.disk.files("/cache/tmp").empty());
        CHECK(world.send(Method::get, kArtifactKey).status == 404);
        CHECK(world.put(kArtifactKey, artifact_body()).status == 201);
      }
      CHECK(failures > 10);
    }
  }
}

TEST_SUITE("protocols::polykit get") {
  TEST_CASE("a hit has the bytes and the headers of the contract") {
    World world;
    const std::string artifact = artifact_body();
    REQUIRE(world.put(kArtifactKey, artifact).status == 201);
    Response response = world.send(Method::get, kArtifactKey);
    CHECK(response.status == 200);
    CHECK(bytes_of(response) == artifact);
    CHECK(header(response, "Content-Type") == "application/zstd");
    CHECK(header(response, "X-Artifact-Hash") == hash_of(artifact));
    CHECK(header(response, "ETag") == '"' + hash_of(artifact) + '"');
    CHECK(header(response, "Accept-Ranges") == "bytes");
    CHECK(header(response, "Cache-Control") == "max-age=31536000, immutable");
    CHECK(header(response, "Last-Modified") == "Thu, 01 Jan 2026 00:00:00 GMT");
  }

  TEST_CASE("head: the same status, headers and length as get") {
    for (const pkc::store::StoreOptions& options : {pkc::store::StoreOptions{}, kStreaming}) {
      World world(options);
      REQUIRE(world.put(kArtifactKey, artifact_body()).status == 201);
      const Response head = world.send(Method::head, kArtifactKey);
      const Response get = world.send(Method::get, kArtifactKey);
      CHECK(head.status == get.status);
      CHECK(head.headers.fields() == get.headers.fields());
      CHECK(head.body_length() == get.body_length());
    }
  }

  TEST_CASE("a miss is 404 with the original's body; a bad key is 400") {
    World world;
    const Response miss = world.send(Method::get, kArtifactKey);
    CHECK(miss.status == 404);
    CHECK(text_of(miss) == R"({"error":"Artifact not found"})");
    CHECK(world.send(Method::get, "short").status == 400);
    CHECK(world.send(Method::head, "short").status == 400);
  }

  TEST_CASE("if-none-match: the own hash is 304") {
    World world;
    const std::string artifact = artifact_body();
    REQUIRE(world.put(kArtifactKey, artifact).status == 201);
    const Response response =
        world.send(Method::get, kArtifactKey, {{"If-None-Match", '"' + hash_of(artifact) + '"'}});
    CHECK(response.status == 304);
    CHECK(response.body_length() == 0);
  }

  TEST_CASE("if-match: another hash is 412 with an error and no artifact") {
    World world;
    REQUIRE(world.put(kArtifactKey, artifact_body()).status == 201);
    const Response response = world.send(Method::get, kArtifactKey, {{"If-Match", R"("other")"}});
    CHECK(response.status == 412);
    CHECK(header(response, "Content-Type") == "application/json");
  }

  TEST_CASE("range: a part is 206, one outside is 416, also before the object was verified") {
    for (const pkc::store::StoreOptions& options : {pkc::store::StoreOptions{}, kStreaming}) {
      World world(options);
      const std::string artifact = artifact_body();
      REQUIRE(world.put(kArtifactKey, artifact).status == 201);
      Response part = world.send(Method::get, kArtifactKey, {{"Range", "bytes=10-19"}});
      CHECK(part.status == 206);
      CHECK(bytes_of(part) == artifact.substr(10, 10));
      CHECK(header(part, "Content-Range") == "bytes 10-19/" + std::to_string(artifact.size()));
      const Response outside = world.send(Method::get, kArtifactKey, {{"Range", "bytes=99999-"}});
      CHECK(outside.status == 416);
      CHECK(header(outside, "Content-Range") == "bytes */" + std::to_string(artifact.size()));
    }
  }

  TEST_CASE("range: of a bad object no byte is given") {
    World world(kStreaming);
    REQUIRE(world.put(kArtifactKey, artifact_body()).status == 201);
    const std::string path = "/cache/de/4d/" + std::string(kArtifactKey) + ".zst";
    std::string rotten = world.disk.files("/cache").at(path);
    rotten.back() = static_cast<char>(rotten.back() ^ 1);
    world.disk.overwrite(path, rotten);
    CHECK(world.send(Method::get, kArtifactKey, {{"Range", "bytes=0-3"}}).status == 404);
  }

  TEST_CASE("a large object that rotted breaks the transfer and is a miss from then on") {
    World world(kStreaming);
    REQUIRE(world.put(kArtifactKey, artifact_body()).status == 201);
    const std::string path = "/cache/de/4d/" + std::string(kArtifactKey) + ".zst";
    std::string rotten = world.disk.files("/cache").at(path);
    rotten.front() = static_cast<char>(rotten.front() ^ 1);
    world.disk.overwrite(path, rotten);
    Response response = world.send(Method::get, kArtifactKey);
    CHECK(response.status == 200);
    CHECK_FALSE(bytes_of(response));
    CHECK(world.send(Method::get, kArtifactKey).status == 404);
    CHECK(world.send(Method::head, kArtifactKey).status == 404);
    CHECK(world.put(kArtifactKey, artifact_body()).status == 201);
  }

  TEST_CASE("answers say what became of the request") {
    using pkc::http::Outcome;
    World world;
    CHECK(world.send(Method::get, kArtifactKey).outcome == Outcome::miss);
    CHECK(world.put(kArtifactKey, artifact_body()).outcome == Outcome::stored);
    CHECK(world.put(kArtifactKey, artifact_body()).outcome == Outcome::exists);
    CHECK(world.send(Method::get, kArtifactKey).outcome == Outcome::hit);
    CHECK(world.send(Method::head, kArtifactKey).outcome == Outcome::hit);
    CHECK(world.send(Method::get, kArtifactKey, {{"Range", "bytes=99999-"}}).outcome ==
          Outcome::hit);
    CHECK(world.send(Method::get, "short").outcome == Outcome::rejected);
    CHECK(world.put("short", artifact_body()).outcome == Outcome::rejected);
  }

  TEST_CASE("another method is 405 with every method that works") {
    World world;
    const Response response = world.send(Method::delete_, kArtifactKey);
    CHECK(response.status == 405);
    CHECK(header(response, "Allow") == "GET, HEAD, PUT");
  }
}
