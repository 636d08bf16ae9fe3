#include "warm_file.hpp"

#include "pkc/base/digest.hpp"
#include "pkc/base/stream.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace pkc::app {
namespace {

using namespace std::chrono_literals;
using Outcome = WarmedFile::Outcome;

const std::string kUrl = "https://a.example/f?x=%41&y=1+2";
const std::string kBody = "content";
const std::string kDigest = sha256(as_bytes(kBody)).hex();

struct Scripted {
  Result<net::SessionAnswer> answer;
  std::string body;
};

Scripted answered(int status,
                  const std::string& body,
                  std::initializer_list<std::pair<std::string, std::string>> headers = {}) {
  net::SessionAnswer answer{.status = status, .headers = {}, .body = status == 200 ? "" : body};
  for (const auto& [name, value] : headers) {
    answer.headers.add(name, value);
  }
  return {.answer = std::move(answer), .body = status == 200 ? body : ""};
}

Scripted broken(Errc code) {
  return {.answer = fail(code, "broken"), .body = {}};
}

const Scripted kMiss = answered(404, "", {{"X-Cache-Status", "MISS"}});
const Scripted kBusy = answered(503, "{}", {{"Retry-After", "7"}});

Scripted downloaded(const std::string& digest = kDigest) {
  return answered(200, kBody, {{"X-Cache-Status", "MISS"}, {"X-Content-SHA256", digest}});
}

/// Answers in order, and knows what it was asked.
class ScriptedSession final : public net::Session {
 public:
  explicit ScriptedSession(std::initializer_list<Scripted> answers) : answers_(answers) {}
  Result<net::SessionAnswer> ask(const std::string& method,
                                 const std::string& target,
                                 ByteSink& sink) override {
    asked.push_back(method + " " + target);
    REQUIRE(!answers_.empty());
    const Scripted next = answers_.front();
    answers_.pop_front();
    TRY(sink.write(as_bytes(next.body)));
    return next.answer;
  }
  void interrupt() override {}
  std::vector<std::string> asked;

 private:
  std::deque<Scripted> answers_;
};

/// One file, warmed with these answers.
struct Run {
  explicit Run(std::initializer_list<Scripted> answers,
               WarmOptions with = {},
               bool goes_on = true,
               const config::ManifestFile& of = {.url = kUrl, .checksums = {}})
      : session(answers), options(std::move(with)) {
    FileWarmer warmer(session, options, received, [&](std::chrono::milliseconds delay) {
      pauses.push_back(delay);
      return goes_on;
    });
    file = warmer.warm(of);
    hopeless = warmer.is_hopeless();
  }
  ScriptedSession session;
  WarmOptions options;
  std::atomic<ByteCount> received = 0;
  std::vector<std::chrono::milliseconds> pauses;
  WarmedFile file;
  bool hopeless = false;
};

} // namespace

TEST_SUITE("app::FileWarmer") {
  TEST_CASE("target: the URL is encoded so that it comes out as it is, with every checksum") {
    const config::ManifestFile file{
        .url = "https://a.example/f?x=%41&y=1+2",
        .checksums = {{ChecksumAlgorithm::sha256, "ab"}, {ChecksumAlgorithm::md5, "cd"}}};

    CHECK(fetch_target(file, Refresh::no) ==
          "/fetch?url=https://a.example/f%3Fx%3D%2541%26y%3D1%2B2&sha256=ab&md5=cd");
    CHECK(fetch_target(file, Refresh::yes).ends_with("&refresh=1"));
  }

  TEST_CASE("a hit: is not asked for again") {
    const Run run({answered(
        200,
        "",
        {{"X-Cache-Status", "HIT"}, {"Content-Length", "5"}, {"X-Content-SHA256", kDigest}})});

    CHECK(run.file.outcome == Outcome::present);
    CHECK(run.file.size == 5);
    CHECK(run.file.sha256 == kDigest);
    CHECK(run.session.asked.size() == 1);
    CHECK(run.session.asked.front().starts_with("HEAD "));
  }

  TEST_CASE("a miss: is downloaded, and what came is hashed") {
    const Run run({kMiss, downloaded()});

    CHECK(run.file.outcome == Outcome::downloaded);
    CHECK(run.file.size == kBody.size());
    CHECK(run.file.sha256 == kDigest);
    CHECK(run.received == kBody.size());
    CHECK(run.session.asked.back() == "GET " + fetch_target({.url = kUrl, .checksums = {}}, {}));
    CHECK(Run({kMiss, answered(200, kBody, {{"X-Cache-Status", "HIT"}})}).file.outcome ==
          Outcome::present); // somebody else was faster
  }

  TEST_CASE("refresh: nobody asks whether it is there") {
    const Run run({downloaded()}, {.refresh = Refresh::yes});

    CHECK(run.file.outcome == Outcome::downloaded);
    CHECK(run.session.asked.front().ends_with("&refresh=1"));
  }

  TEST_CASE("other bytes than the server says: a failure of this file") {
    const Run run({kMiss, downloaded(std::string(64, '0'))});

    CHECK(run.file.outcome == Outcome::failed);
    CHECK(run.file.reason.contains(kDigest));
    CHECK(!run.hopeless);
  }

  TEST_CASE("refusals: GET tells why, and some are of every file") {
    const std::string forbidden = R"({"error":"forbidden_upstream","source_url":"x"})";
    const struct {
      int status;
      std::string body;
      bool hopeless;
    } rows[] = {{400, "{}", false},
                {403, forbidden, false},
                {409, "{}", false},
                {413, "{}", false},
                {500, "{}", false},
                {502, "{}", false},
                {504, "", false},
                {302, "", true},
                {401, "{}", true},
                {403, "{}", true},
                {404, "", true}};
    for (const auto& row : rows) {
      CAPTURE(row.status);
      const Run run({answered(row.status, ""), answered(row.status, row.body)});
      CHECK(run.file.outcome == Outcome::failed);
      CHECK(run.file.status == row.status);
      CHECK(run.file.answer == row.body);
      CHECK(run.hopeless == row.hopeless);
      CHECK(run.pauses.empty());
    }
  }

  TEST_CASE("another server: its 200 is no download") {
    const Run run({answered(200, ""), answered(200, "<html>")});

    CHECK(run.file.outcome == Outcome::failed);
    CHECK(run.hopeless);
  }

  TEST_CASE("busy: asked again, not before Retry-After, as often as was wished") {
    const Run good({kMiss, kBusy, answered(429, "", {{"Retry-After", "2"}}), downloaded()});
    CHECK(good.file.outcome == Outcome::downloaded);
    CHECK(good.file.sha256 == kDigest);
    REQUIRE(good.pauses.size() == 2);
    CHECK(good.pauses[0] >= 7s);
    CHECK(good.pauses[1] >= 2s);
    CHECK(good.pauses[1] < 7s);

    const Run bad({kBusy, kBusy, kBusy, kBusy, kBusy, kBusy}, {.retries_max = 2});
    CHECK(bad.file.outcome == Outcome::failed);
    CHECK(bad.file.status == 503);
    CHECK(bad.pauses.size() == 4); // two for HEAD, two for GET
    CHECK(!bad.hopeless);

    CHECK(Run({kBusy, kBusy}, {.retries_max = 0}).pauses.empty());
    const Scripted tomorrow = answered(503, "{}", {{"Retry-After", "86400"}});
    CHECK(Run({tomorrow, tomorrow}).pauses.empty());
  }

  TEST_CASE("no server: asked again, and then hopeless for all") {
    const Scripted gone = broken(Errc::unavailable);
    CHECK(Run({gone, kMiss, gone, downloaded()}).file.outcome == Outcome::downloaded);

    const Run run({gone, gone}, {.retries_max = 1});
    CHECK(run.file.outcome == Outcome::failed);
    CHECK(run.file.reason == "broken");
    CHECK(run.file.status == 0);
    CHECK(run.hopeless);
  }

  TEST_CASE("a transfer that breaks off or takes too long: a failure of this file, at once") {
    for (const Errc code : {Errc::io, Errc::timeout}) {
      const Run run({kMiss, broken(code)});
      CHECK(run.file.outcome == Outcome::failed);
      CHECK(run.pauses.empty());
      CHECK(!run.hopeless);
    }
  }

  TEST_CASE("stopped in a pause: no more is asked") {
    const Run run({broken(Errc::unavailable)}, {}, false);

    CHECK(run.file.outcome == Outcome::failed);
    CHECK(run.session.asked.size() == 1);
  }
}

} // namespace pkc::app
