// The decisions of AccessControl, without sockets.
#include "access_fixture.hpp"
#include "support/fake_clock.hpp"

#include "pkc/base/codec.hpp"
#include "pkc/http/router.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::http {
namespace {

using namespace std::chrono_literals;
using test::grant;
using test::plain_rules;
using test::token_of;
using test::token_rule;

/// A body that is there at once.
class TextBody final : public RequestBody {
 public:
  explicit TextBody(std::string text, std::optional<ByteCount> length = std::nullopt)
      : text_(std::move(text)), length_(length) {}

  [[nodiscard]] std::optional<ByteCount> length() const override { return length_; }
  Result<std::size_t> read(MutableByteSpan buffer) override {
    was_read_ = true;
    const std::size_t count = std::min(buffer.size(), text_.size());
    text_.copy(reinterpret_cast<char*>(buffer.data()), count);
    text_.erase(0, count);
    return count;
  }
  [[nodiscard]] bool pace(const std::shared_ptr<Throttle>& throttle) override {
    throttle_ = throttle;
    return !refuses_to_wait;
  }
  [[nodiscard]] bool is_paced() const { return throttle_ != nullptr; }
  [[nodiscard]] bool was_read() const { return was_read_; }

  bool refuses_to_wait = false;

 private:
  std::string text_;
  std::optional<ByteCount> length_;
  bool was_read_ = false;
  std::shared_ptr<Throttle> throttle_;
};

struct Seen {
  std::string who;
  std::string space;
  std::string project;
  int status = 0;
  Refusal refusal = Refusal::none;
};

Response answer_with_name(Request& request) {
  Response response = make_response(200);
  response.body = request.principal->name;
  return response;
}

/// Reads the body in pieces of 10 bytes. 400 when it breaks off, else what the path asks for.
Response receive(Request& request) {
  std::array<std::byte, 10> piece{};
  for (;;) {
    const auto count = request.body->read(piece);
    if (!count) {
      return make_error(400, "broken body");
    }
    if (*count == 0) {
      return make_response(request.parameters.front() == "taken" ? 409 : 201);
    }
  }
}

std::optional<std::string> project_of(const Request& request) {
  return request.query.empty() ? std::nullopt : std::optional(request.query);
}

std::string space_of(const Request& request) {
  return request.parameters.front();
}

Response text_refusal(int status, std::string_view message) {
  Response response = make_response(status);
  response.body = std::string(message);
  return response;
}

class Door {
 public:
  explicit Door(std::optional<AccessRules> rules)
      : control_(std::make_shared<AccessControl>(
            std::move(rules), [this](const AccessEvent& event) { note(event); }, clock)) {
    router_.guard(control_);
    router_.add({Method::get, "/up", RouteAccess::open(), answer_with_name});
    router_.add({Method::get, "/metrics", RouteAccess::metrics(), answer_with_name});
    router_.add({Method::get, "/nix/{key}", RouteAccess::read("nix"), answer_with_name});
    router_.add({Method::put, "/nix/{key}", RouteAccess::write("nix"), receive});
    router_.add({Method::get,
                 "/turbo/{key}",
                 RouteAccess::read("turbo").with_project(project_of).with_refusal(text_refusal),
                 answer_with_name});
    router_.add({Method::delete_, "/api/all", RouteAccess::admin(), answer_with_name});
    router_.add({Method::delete_,
                 "/api/of/{space}",
                 RouteAccess::admin().with_space(space_of),
                 answer_with_name});
    router_.add({Method::put, "/throws", RouteAccess::write("nix"), [](Request&) -> Response {
                   throw std::runtime_error("out of luck");
                 }});
  }

  Response request(Method method,
                   const std::string& target,
                   const std::string& authorization = {},
                   RequestBody* body = nullptr) {
    TextBody none("", 0);
    Request request;
    request.method = method;
    request.path = target.substr(0, target.find('?'));
    request.query = target.contains('?') ? target.substr(target.find('?') + 1) : "";
    request.client_address = client;
    request.body = body == nullptr ? &none : body;
    if (!authorization.empty()) {
      request.headers.add("Authorization", authorization);
    }
    return router_.dispatch(request);
  }
  int status(Method method, const std::string& target, const std::string& name = {}) {
    return request(method, target, name.empty() ? name : "Bearer " + token_of(name)).status;
  }
  int put(const std::string& target, const std::string& name, const std::string& text) {
    TextBody body(text, text.size());
    return request(Method::put, target, "Bearer " + token_of(name), &body).status;
  }
  int put_chunked(const std::string& target, const std::string& name, const std::string& text) {
    TextBody body(text);
    return request(Method::put, target, "Bearer " + token_of(name), &body).status;
  }

  pkc::test::FakeClock clock;
  std::string client = "10.0.0.1";
  std::vector<Seen> seen;
  AccessControl& control() { return *control_; }

 private:
  void note(const AccessEvent& event) {
    seen.push_back({std::string(event.who),
                    std::string(event.space),
                    std::string(event.project.value_or("")),
                    event.status,
                    event.refusal});
  }

  std::shared_ptr<AccessControl> control_;
  Router router_;
};

std::string text_of(const Response& response) {
  return std::get<std::string>(response.body);
}

TEST_SUITE("http::AccessControl") {
  TEST_CASE("without rules: everybody reads, writes and sees metrics; credentials do not matter") {
    Door door(std::nullopt);

    CHECK(text_of(door.request(Method::get, "/nix/a")) == "anonymous");
    CHECK(text_of(door.request(Method::get, "/nix/a", "nonsense")) == "anonymous");
    CHECK(door.status(Method::put, "/nix/a") == 201);
    CHECK(door.status(Method::get, "/metrics") == 200);
    CHECK(door.status(Method::get, "/up") == 200);
    CHECK(door.seen.empty());
  }

  TEST_CASE("without rules: admin is for this machine") {
    Door door(std::nullopt);
    CHECK(door.status(Method::delete_, "/api/all") == 403);

    door.client = "127.0.0.1";

    CHECK(text_of(door.request(Method::delete_, "/api/all")) == "local");
    CHECK(door.status(Method::delete_, "/api/of/nix") == 200);
  }

  TEST_CASE("a router that was given no door has the one of a server without rules") {
    Router router;
    router.add({Method::get, "/a", RouteAccess::read("nix"), answer_with_name});
    router.add({Method::get, "/b", RouteAccess::admin(), answer_with_name});
    Request request;
    request.method = Method::get;
    request.path = "/a";
    CHECK(router.dispatch(request).status == 200);

    request.path = "/b";

    CHECK(router.dispatch(request).status == 403);
  }

  TEST_CASE("with rules: nobody has a right that no grant gives, this machine included") {
    Door door(AccessRules{});
    door.client = "127.0.0.1";

    CHECK(door.status(Method::get, "/up") == 200);
    CHECK(door.status(Method::get, "/metrics") == 401);
    CHECK(door.status(Method::get, "/nix/a") == 401);
    CHECK(door.status(Method::put, "/nix/a") == 401);
    CHECK(door.status(Method::delete_, "/api/all") == 401);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 401);
  }

  TEST_CASE("grants: scope, space and project decide") {
    using S = Scope;
    struct {
      std::string name;
      Grant grant;
      std::string allowed; ///< letters of the requests below
    } const rows[] = {
        {"read", grant({S::read}), "r t p"},
        {"write", grant({S::write}), "w"},
        {"metrics", grant({S::metrics}), "m"},
        {"admin", grant({S::admin}), "m r w t p a n"},
        {"read nix", grant({S::read}, {"nix"}), "r"},
        {"read turbo", grant({S::read}, {"turbo"}), "t p"},
        {"read both", grant({S::read}, {"nix", "turbo"}), "r t p"},
        {"metrics somewhere", grant({S::metrics}, {"turbo"}), "m"},
        {"admin of nix", grant({S::admin}, {"nix"}), "m r w n"},
        {"read acme", grant({S::read}, {}, {"acme"}), "p"},
        {"read other", grant({S::read}, {}, {"other"}), ""},
        {"read acme of nix", grant({S::read}, {"nix"}, {"acme"}), ""},
        {"nothing", grant({}), ""},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      Door door(AccessRules{.tokens = {token_rule("t", {row.grant})}, .anonymous = {}});
      std::string allowed;
      const auto ask = [&](std::string_view letter, Method method, const std::string& target) {
        const int status = door.status(method, target, "t");
        CHECK((status == 200 || status == 201 || status == 403));
        if (status < 300) {
          allowed += allowed.empty() ? "" : " ";
          allowed += letter;
        }
      };

      ask("m", Method::get, "/metrics");
      ask("r", Method::get, "/nix/a");
      ask("w", Method::put, "/nix/a");
      ask("t", Method::get, "/turbo/a");
      ask("p", Method::get, "/turbo/a?acme");
      ask("a", Method::delete_, "/api/all");
      ask("n", Method::delete_, "/api/of/nix");

      CHECK(allowed == row.allowed);
    }
  }

  TEST_CASE("grants: HEAD needs what GET needs, and several grants add up") {
    Door door(
        AccessRules{.tokens = {token_rule(
                        "t", {grant({Scope::read}, {"turbo"}), grant({Scope::write}, {"nix"})})},
                    .anonymous = {grant({Scope::metrics})}});

    CHECK(door.status(Method::head, "/turbo/a", "t") == 200);
    CHECK(door.status(Method::head, "/nix/a", "t") == 403);
    CHECK(door.status(Method::put, "/nix/a", "t") == 201);
    CHECK(door.status(Method::head, "/metrics") == 200);
    CHECK(door.status(Method::get, "/metrics", "t") == 403); // not what anonymous may as well
  }

  TEST_CASE("refusals: 401 has both challenges, 403 a reason, and neither runs the handler") {
    Door door(plain_rules());
    TextBody body("text", 4);

    const Response none = door.request(Method::put, "/nix/a", "", &body);
    const Response wrong = door.request(Method::put, "/nix/a", "Bearer nobody", &body);
    const Response denied =
        door.request(Method::put, "/nix/a", "Bearer " + token_of("reader"), &body);

    CHECK_FALSE(body.was_read());
    CHECK(none.status == 401);
    CHECK(text_of(none) == R"({"error":"a token is needed to write to nix"})");
    std::vector<std::string> challenges;
    for (const auto& [name, value] : none.headers.fields()) {
      if (name == "WWW-Authenticate") {
        challenges.push_back(value);
      }
    }
    CHECK(challenges ==
          std::vector<std::string>{R"(Bearer realm="polykit-cache")",
                                   R"(Basic realm="polykit-cache", charset="UTF-8")"});
    CHECK(wrong.status == 401);
    CHECK(wrong.headers.get("WWW-Authenticate") ==
          R"(Bearer realm="polykit-cache", error="invalid_token")");
    CHECK(text_of(wrong) == R"({"error":"the token is unknown"})");
    CHECK(denied.status == 403);
    CHECK(text_of(denied) == R"({"error":"the token may not write to nix"})");
    CHECK_FALSE(denied.headers.get("WWW-Authenticate").has_value());
  }

  TEST_CASE("refusals: a route may have its own form for them") {
    Door door(plain_rules());

    const Response refusal = door.request(Method::get, "/turbo/a");

    CHECK(refusal.status == 401);
    CHECK(text_of(refusal) == "a token is needed to read from turbo");
    CHECK(refusal.headers.get("WWW-Authenticate").has_value());
  }

  TEST_CASE("credentials: the token is taken from wherever a client puts it") {
    AccessRules rules = plain_rules();
    rules.tokens.front().user = "ci";
    Door door(std::move(rules));
    const auto basic = [](const std::string& pair) {
      return "Basic " + encode_base64url(as_bytes(pair));
    };
    const std::string writer = token_of("writer");
    const std::string bound = token_of("reader");
    struct {
      std::string value;
      int status;
    } const rows[] = {
        {"Bearer " + writer, 200},
        {"Bearer " + bound, 200},
        {basic("anybody:" + writer), 200},
        {basic(":" + writer), 200},
        {basic(writer + ":"), 200},
        {basic(writer), 200},
        {basic(writer + ":x-oauth-basic"), 200},
        {basic("ci:" + bound), 200},
        {basic("other:" + bound), 401},
        {basic("ci:" + bound + "x"), 401},
        {"Bearer " + writer + "x", 401},
        {"Bearer " + writer.substr(1), 401},
        {writer, 401},
        {"Digest " + writer, 401},
    };
    for (const auto& row : rows) {
      CAPTURE(row.value);

      CHECK(door.request(Method::get, "/nix/a", row.value).status == row.status);
    }
  }

  TEST_CASE("credentials: every byte of the digest counts") {
    for (std::size_t i = 0; i < 32; ++i) {
      AccessRules rules = plain_rules();
      rules.tokens.front().digest.bytes.at(i) ^= std::byte{1};
      Door door(std::move(rules));

      CHECK(door.status(Method::get, "/nix/a", "reader") == 401);
    }
  }

  TEST_CASE("credentials: wrong ones are refused even where anonymous may pass") {
    AccessRules rules = plain_rules();
    rules.anonymous = {grant({Scope::read})};
    rules.tokens.front().expires = pkc::test::FakeClock().wall_now() + 60s;
    Door door(std::move(rules));
    CHECK(text_of(door.request(Method::get, "/nix/a")) == "anonymous");
    CHECK(door.status(Method::get, "/nix/a", "nobody") == 401);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);

    door.clock.advance(59s);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
    door.clock.advance(1s);

    const Response expired = door.request(Method::get, "/nix/a", "Bearer " + token_of("reader"));
    CHECK(expired.status == 401);
    CHECK(text_of(expired) == R"({"error":"the token has expired"})");
    CHECK(door.status(Method::get, "/up", "reader") == 200); // an open route asks nobody
  }

  TEST_CASE("rate: 429 with Retry-After, for that token alone") {
    AccessRules rules = plain_rules();
    rules.tokens.front().limits = {.requests_per_second = 1, .requests_burst = 3};
    Door door(std::move(rules));
    for (int i = 0; i < 3; ++i) {
      CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
    }

    const Response refusal = door.request(Method::get, "/nix/a", "Bearer " + token_of("reader"));

    CHECK(refusal.status == 429);
    CHECK(refusal.headers.get("Retry-After") == "1");
    CHECK(door.status(Method::get, "/nix/a", "writer") == 200);
    door.clock.advance(1s);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
  }

  TEST_CASE("rate: who has no token shares one limit with all others who have none") {
    AccessRules rules = plain_rules();
    rules.anonymous = {grant({Scope::read})};
    rules.anonymous_limits = {.requests_per_second = 1, .requests_burst = 2};
    Door door(std::move(rules));
    CHECK(door.status(Method::get, "/nix/a") == 200);
    door.client = "10.0.0.2";
    CHECK(door.status(Method::get, "/nix/a") == 200);

    const Response refusal = door.request(Method::get, "/nix/a");

    CHECK(refusal.status == 429);
    CHECK(text_of(refusal) == R"({"error":"too many requests without a token"})");
    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
    CHECK(door.status(Method::get, "/up") == 200);
    door.clock.advance(1s);
    CHECK(door.status(Method::get, "/nix/a") == 200);
  }

  TEST_CASE("bytes per second: bodies of either direction get their throttle, and only they") {
    AccessRules rules = plain_rules();
    rules.tokens.front().limits.read_bytes_per_second = kMiB;
    rules.tokens.back().limits.write_bytes_per_second = kMiB;
    Door door(std::move(rules));
    const std::string writer = "Bearer " + token_of("writer");
    TextBody up("text", 4);
    TextBody down("", 0);

    const Response stored = door.request(Method::put, "/nix/a", writer, &up);
    const Response read =
        door.request(Method::get, "/nix/a", "Bearer " + token_of("reader"), &down);

    CHECK(stored.status == 201);
    CHECK(up.is_paced());
    CHECK(stored.throttle == nullptr);
    CHECK(read.status == 200);
    CHECK_FALSE(down.is_paced());
    REQUIRE(read.throttle != nullptr);
    const Response again = door.request(Method::get, "/nix/b", "Bearer " + token_of("reader"));
    CHECK(again.throttle == read.throttle); // one for all its transfers
  }

  TEST_CASE("bytes per second: too many that wait are 503 before the body is read") {
    AccessRules rules = plain_rules();
    rules.tokens.back().limits.write_bytes_per_second = kMiB;
    Door door(std::move(rules));
    TextBody body("text", 4);
    body.refuses_to_wait = true;

    const Response refusal =
        door.request(Method::put, "/nix/a", "Bearer " + token_of("writer"), &body);

    CHECK(refusal.status == 503);
    CHECK(refusal.headers.get("Retry-After") == "1");
    CHECK_FALSE(body.was_read());
    CHECK(door.seen.back().refusal == Refusal::rate);
  }

  TEST_CASE("quota: holds for those without a token, too, and says so") {
    AccessRules rules = plain_rules();
    rules.anonymous = {grant({Scope::write})};
    rules.anonymous_limits.write_bytes_per_day = 10;
    Door door(std::move(rules));
    TextBody fits("123456", 6);
    TextBody more("12345", 5);
    CHECK(door.request(Method::put, "/nix/a", {}, &fits).status == 201);

    const Response refusal = door.request(Method::put, "/nix/b", {}, &more);

    CHECK(refusal.status == 403);
    CHECK(text_of(refusal) == R"({"error":"as much was written without a token as may be today"})");
    CHECK(door.put("/nix/b", "writer", "12345") == 201);
  }

  TEST_CASE("quota: what another process knew counts, of today and for who still has a token") {
    AccessRules rules = plain_rules();
    rules.tokens.back().limits.write_bytes_per_day = 100;
    Door before(rules);
    CHECK(before.put("/nix/a", "writer", std::string(60, 'x')) == 201);
    const auto today = std::chrono::floor<std::chrono::days>(before.clock.wall_now());
    const std::vector<QuotaUse> known = before.control().quota_uses();
    CHECK(known == std::vector<QuotaUse>{{.name = "writer", .day = today, .written = 60}});

    Door door(rules);
    CHECK(door.put("/nix/b", "writer", std::string(10, 'x')) == 201);
    door.control().add_quota_uses({}, known);
    door.control().add_quota_uses(
        {},
        {{.name = "writer", .day = today - std::chrono::days(1), .written = 90},
         {.name = "gone", .day = today, .written = 5}});

    CHECK(door.control().quota_uses() ==
          std::vector<QuotaUse>{{.name = "writer", .day = today, .written = 70}});
    CHECK(door.put("/nix/c", "writer", std::string(31, 'x')) == 403);
    CHECK(door.put("/nix/c", "writer", std::string(30, 'x')) == 201);
    door.control().add_quota_uses({}, {{.name = "writer", .day = today, .written = ~ByteCount{0}}});
    CHECK(door.put("/nix/d", "writer", "x") == 403);
    door.clock.advance(24h);
    CHECK(door.put("/nix/d", "writer", "x") == 201);
    CHECK(AccessControl().quota_uses().empty());
  }

  TEST_CASE("quota: what was stored counts, a day long") {
    AccessRules rules = plain_rules();
    rules.tokens.back().limits.write_bytes_per_day = 100;
    Door door(std::move(rules));

    CHECK(door.put("/nix/a", "writer", std::string(60, 'x')) == 201);
    CHECK(door.put("/nix/taken", "writer", std::string(40, 'x')) == 409); // given back
    CHECK(door.put("/nix/b", "writer", std::string(41, 'x')) == 403);
    CHECK(door.put_chunked("/nix/b", "writer", std::string(41, 'x')) == 403); // given back
    CHECK(door.put_chunked("/nix/b", "writer", std::string(40, 'x')) == 201);
    CHECK(door.put_chunked("/nix/c", "writer", "x") == 403);
    CHECK(door.put("/nix/c", "writer", "") == 201);
    CHECK(door.status(Method::get, "/nix/a", "writer") == 200);

    door.clock.advance(24h);
    CHECK(door.put("/nix/d", "writer", std::string(100, 'x')) == 201);
  }

  TEST_CASE("quota: beyond it the body is not read, or no further than it goes") {
    AccessRules rules = plain_rules();
    rules.tokens.back().limits.write_bytes_per_day = 5;
    Door door(std::move(rules));
    const std::string writer = "Bearer " + token_of("writer");
    TextBody announced("123456", 6);
    CHECK(door.request(Method::put, "/nix/a", writer, &announced).status == 403);
    CHECK_FALSE(announced.was_read());
    TextBody chunked("123456");

    const Response refusal = door.request(Method::put, "/nix/a", writer, &chunked);

    CHECK(refusal.status == 403);
    CHECK(refusal.close_connection);
    CHECK(text_of(refusal) == R"({"error":"the token has written as much as it may today"})");
  }

  TEST_CASE("replace: counts from the next request on, and keeps what was used up") {
    AccessRules rules = plain_rules();
    rules.tokens.front().limits = {.requests_per_second = 1, .requests_burst = 2};
    Door door(rules);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
    CHECK(door.status(Method::get, "/nix/a", "writer") == 200);

    rules.tokens.pop_back();
    door.control().replace(rules);

    CHECK(door.status(Method::get, "/nix/a", "reader") == 200);
    CHECK(door.status(Method::get, "/nix/a", "reader") == 429);
    CHECK(door.status(Method::get, "/nix/a", "writer") == 401);
    door.control().replace({});
    CHECK(door.status(Method::get, "/nix/a", "reader") == 401);
  }

  TEST_CASE("observer: sees who did what, refused or not, also when the handler throws") {
    Door door(plain_rules());
    door.put("/nix/a", "writer", "text");
    door.status(Method::get, "/turbo/a?acme", "reader");
    door.status(Method::put, "/nix/a", "reader");
    door.status(Method::put, "/nix/a");
    door.status(Method::put, "/nix/a", "nobody");
    CHECK_THROWS(door.put("/throws", "writer", ""));

    REQUIRE(door.seen.size() == 6);
    const auto check = [&](std::size_t i, const Seen& expected) {
      CAPTURE(i);
      CHECK(door.seen[i].who == expected.who);
      CHECK(door.seen[i].space == expected.space);
      CHECK(door.seen[i].project == expected.project);
      CHECK(door.seen[i].status == expected.status);
      CHECK(to_string(door.seen[i].refusal) == to_string(expected.refusal));
    };
    check(0, {"writer", "nix", "", 201, Refusal::none});
    check(1, {"reader", "turbo", "acme", 200, Refusal::none});
    check(2, {"reader", "nix", "", 403, Refusal::no_right});
    check(3, {"anonymous", "nix", "", 401, Refusal::no_credentials});
    check(4, {"unknown", "nix", "", 401, Refusal::bad_credentials});
    check(5, {"writer", "nix", "", 500, Refusal::none});
  }
}

} // namespace
} // namespace pkc::http
