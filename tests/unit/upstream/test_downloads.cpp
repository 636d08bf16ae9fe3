#include "world.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <semaphore>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using pkc::as_bytes;
using pkc::ByteCount;
using pkc::Checksum;
using pkc::ChecksumAlgorithm;
using pkc::Errc;
using pkc::fail;
using pkc::Result;
using pkc::sha256;
using pkc::net::FetchRequest;
using pkc::net::ResponseSink;
using pkc::test::answers;
using pkc::test::breaks;
using pkc::test::gives;
using pkc::test::make_head;
using pkc::test::noise;
using pkc::test::read_all;
using pkc::test::ScriptedClient;
using pkc::test::sha256_of;
using pkc::test::wait_until_answered;
using pkc::test::wait_until_over;
using pkc::test::World;
using pkc::upstream::Arrived;
using pkc::upstream::DownloadOptions;
using pkc::upstream::DownloadRequest;
using pkc::upstream::Failure;
using pkc::upstream::OriginAnswer;
using pkc::upstream::Phase;
using pkc::upstream::Waiter;

TEST_SUITE("upstream::Downloads") {
  TEST_CASE("join: the body arrives, is stored under its digest and published once") {
    World world;
    for (const std::size_t size : {0U, 1U, 65'536U, 65'537U, 3'000'000U}) {
      CAPTURE(size);
      const std::string body = noise(size);
      world.client.then(gives(body, {{"Content-Type", "text/x"}}));
      const auto waiter = world.join();
      const auto got = read_all(*waiter);
      REQUIRE(got);
      CHECK((*got == body));
      CHECK(waiter->answer()->headers.get("Content-Type") == "text/x");
      CHECK(waiter->arrived().digest == sha256(as_bytes(body)));
      CHECK((world.fixture.get(sha256(as_bytes(body))).value() == body));
      CHECK(world.published.lock()->back() == sha256(as_bytes(body)).hex());
    }
    CHECK(world.published.lock()->size() == 5);
    CHECK(world.disk.files("/cache/tmp").empty());
  }

  TEST_CASE("join: all of one key share one download, each at its own pace") {
    World world;
    const std::string body = noise(1'000'000);
    std::latch joined(1);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      joined.wait();
      TRY(sink.head(make_head(200, body.size())));
      for (std::size_t at = 0; at < body.size(); at += 10'000) {
        TRY(sink.write(as_bytes(body).subspan(at, 10'000)));
      }
      return {};
    });
    std::vector<std::shared_ptr<Waiter>> waiters;
    for (int i = 0; i < 200; ++i) {
      waiters.push_back(world.join());
    }
    joined.count_down();
    std::vector<std::jthread> readers;
    std::atomic<int> right = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      readers.emplace_back([&, i] { right += read_all(*waiters[i]) == body ? 1 : 0; });
    }
    readers.clear();
    CHECK(right == 8);
    for (const auto& waiter : waiters) { // the slow ones come when all is over
      CHECK((read_all(*waiter) == body));
    }
    CHECK(world.client.requests() == 1);
  }

  TEST_CASE("piece: the last one waits until all is stored") {
    World world;
    const std::string body = noise(200'000);
    std::latch written(1);
    std::latch go_on(1);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, body.size())));
      TRY(sink.write(as_bytes(body)));
      written.count_down();
      go_on.wait();
      return {};
    });
    const auto waiter = world.join();
    written.wait();
    CHECK(waiter->phase() == Phase::arriving);
    CHECK_FALSE(waiter->piece(body.size() - Waiter::kHeldBack).value());
    go_on.count_down();
    wait_until_over(*waiter);
    CHECK(waiter->phase() == Phase::stored);
    CHECK(waiter->piece(body.size() - Waiter::kHeldBack).value());
  }

  TEST_CASE("broken off: it goes on where it was, when the origin gave a strong validator") {
    World world;
    const std::string body = noise(300'000);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, body.size(), {{"ETag", "\"v1\""}})));
      TRY(sink.write(as_bytes(body).first(150'001)));
      return fail(Errc::unavailable, "cut");
    });
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(
          206, body.size() - 150'001, {{"Content-Range", "bytes 150001-299999/300000"}})));
      return sink.write(as_bytes(body).subspan(150'001));
    });
    const auto waiter = world.join();
    CHECK((read_all(*waiter) == body));
    CHECK(world.client.header(0, "Range").empty());
    CHECK(world.client.header(1, "Range") == "bytes=150001-");
    CHECK(world.client.header(1, "If-Range") == "\"v1\"");
  }

  TEST_CASE("broken off: a rest that is not the rest breaks the transfer, and nothing is stored") {
    const std::string body = noise(300'000);
    for (const char* const range : {"bytes 150002-299999/300000",
                                    "bytes 150001-299998/300000",
                                    "bytes 150001-299999/300001",
                                    "bytes 150001-299999/*",
                                    "bytes x",
                                    ""}) {
      CAPTURE(range);
      World world;
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(make_head(200, body.size(), {{"ETag", "\"v1\""}})));
        TRY(sink.write(as_bytes(body).first(150'001)));
        return fail(Errc::unavailable, "cut");
      });
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(make_head(206, body.size() - 150'001, {{"Content-Range", range}})));
        return sink.write(as_bytes(body).subspan(150'001));
      });
      const auto waiter = world.join();
      CHECK_FALSE(read_all(*waiter));
      CHECK(waiter->failure().kind == Failure::Kind::unavailable);
      CHECK(world.disk.files("/cache/cas").empty());
      CHECK(world.disk.files("/cache/tmp").empty());
    }
  }

  TEST_CASE("broken off: a rest of something else, or less than the rest, breaks it, too") {
    const std::string body = noise(300'000);
    struct Case {
      std::string tag;
      ByteCount length;
      ByteCount given;
    };
    for (const Case& rest : {Case{"\"v2\"", 149'999, 149'999},    // If-Range was ignored
                             Case{"\"v1\"", 149'998, 149'998},    // it says so
                             Case{"\"v1\"", 149'999, 149'998}}) { // it does not
      CAPTURE(rest.tag);
      CAPTURE(rest.given);
      World world({.retries_max = 1});
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(make_head(200, body.size(), {{"ETag", "\"v1\""}})));
        TRY(sink.write(as_bytes(body).first(150'001)));
        return fail(Errc::unavailable, "cut");
      });
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(
            make_head(206,
                      rest.length,
                      {{"Content-Range", "bytes 150001-299999/300000"}, {"ETag", rest.tag}})));
        return sink.write(as_bytes(body).subspan(150'001, rest.given));
      });
      const auto waiter = world.join();
      CHECK_FALSE(read_all(*waiter));
      CHECK(waiter->failure().kind == Failure::Kind::unavailable);
      CHECK(world.disk.files("/cache/cas").empty());
    }
  }

  TEST_CASE("broken off: without a validator it begins again only when nobody has seen any of it") {
    const std::string body = noise(300'000);
    const auto cut = [&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, body.size())));
      TRY(sink.write(as_bytes(body).first(150'001)));
      return fail(Errc::unavailable, "cut");
    };
    SUBCASE("nobody has") {
      World world;
      world.client.then(cut);
      world.client.then(gives(body));
      const auto waiter = world.join({sha256_of(body)});
      wait_until_over(*waiter);
      CHECK(waiter->phase() == Phase::stored);
      CHECK((world.fixture.get(sha256(as_bytes(body))).value() == body));
      CHECK(world.client.header(1, "Range").empty());
    }
    SUBCASE("somebody has") {
      World world;
      std::latch seen(1);
      world.client.then([&](const FetchRequest& request, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(make_head(200, body.size())));
        TRY(sink.write(as_bytes(body).first(150'001)));
        TRY(sink.write(as_bytes(body).subspan(150'001, 10'000)));
        seen.wait();
        static_cast<void>(request);
        return fail(Errc::unavailable, "cut");
      });
      world.client.then(gives(body));
      const auto waiter = world.join();
      wait_until_answered(*waiter);
      while (!waiter->piece(0).value()) {
        std::binary_semaphore ready(0);
        waiter->when_ready(0, [&] { ready.release(); });
        ready.acquire();
      }
      seen.count_down();
      wait_until_over(*waiter);
      CHECK(waiter->phase() == Phase::failed);
      CHECK_FALSE(waiter->piece(0));
      CHECK(world.disk.files("/cache/cas").empty());
    }
  }

  TEST_CASE("failures: those that may pass are tried again, the others are not") {
    struct Case {
      ScriptedClient::Step step;
      Failure::Kind kind;
      int status;
      std::size_t requests;
    };
    for (const Case& one :
         std::vector<Case>{{answers(404), Failure::Kind::refused, 404, 1},
                           {answers(403), Failure::Kind::refused, 403, 1},
                           {answers(206), Failure::Kind::refused, 206, 1},
                           {answers(304), Failure::Kind::refused, 304, 1},
                           {answers(500), Failure::Kind::refused, 500, 2},
                           {answers(503), Failure::Kind::refused, 503, 2},
                           {answers(429), Failure::Kind::refused, 429, 2},
                           {breaks(Errc::unavailable), Failure::Kind::unavailable, 0, 2},
                           {breaks(Errc::timeout), Failure::Kind::unavailable, 0, 2},
                           {breaks(Errc::unauthorized), Failure::Kind::forbidden, 0, 1},
                           {breaks(Errc::invalid_argument), Failure::Kind::refused, 0, 1}}) {
      World world(DownloadOptions{.retries_max = 1});
      world.client.then(one.step);
      world.client.then(one.step);
      const auto waiter = world.join();
      wait_until_over(*waiter);
      REQUIRE(waiter->phase() == Phase::failed);
      CHECK(waiter->failure().kind == one.kind);
      CHECK(waiter->failure().status == one.status);
      CHECK(world.client.requests() == one.requests);
    }
  }

  TEST_CASE("failures: 404 and 410 are remembered, but not for who asks again") {
    World world;
    world.client.then(answers(404));
    wait_until_over(*world.join());
    const auto again = world.join();
    CHECK(again->phase() == Phase::failed);
    CHECK(again->failure().status == 404);
    CHECK(world.client.requests() == 1);
    world.client.then(gives("here"));
    CHECK(read_all(*world.join({}, true)) == "here");
    world.client.then(gives("here"));
    CHECK(read_all(*world.join()) == "here");
  }

  TEST_CASE("size_max: a body that is announced or becomes too large is not taken") {
    for (const bool announced : {true, false}) {
      World world;
      world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
        TRY(sink.head(make_head(200, announced ? std::optional<ByteCount>(11) : std::nullopt)));
        return sink.write(as_bytes("01234567890"));
      });
      DownloadRequest request = world.request();
      request.size_max = 10;
      const auto waiter = world.downloads->join(request, {}).value();
      wait_until_over(*waiter);
      REQUIRE(waiter->phase() == Phase::failed);
      CHECK(waiter->failure().kind == Failure::Kind::too_large);
      CHECK(world.disk.files("/cache/cas").empty());
    }
  }

  TEST_CASE("wanted: what nobody can use is not stored, and everybody learns what it is") {
    World world;
    const std::string body = "the body";
    world.client.then(gives(body));
    const Checksum wrong{ChecksumAlgorithm::sha256, std::string(64, '0')};
    const Checksum md5{ChecksumAlgorithm::md5, std::string(32, '0')};
    const auto waiter = world.join({wrong, md5});
    wait_until_over(*waiter);
    REQUIRE(waiter->phase() == Phase::unwanted);
    CHECK(waiter->arrived().digest == sha256(as_bytes(body)));
    const auto checksums = waiter->arrived().checksums;
    CHECK(std::ranges::find(checksums, sha256_of(body)) != checksums.end());
    const Checksum actual{ChecksumAlgorithm::md5, "3066176185fcca35d26c1b1612a91e78"};
    CHECK(std::ranges::find(checksums, actual) != checksums.end());
    CHECK(world.published.lock()->empty());
    CHECK(world.disk.files("/cache/cas").empty());
  }

  TEST_CASE("wanted: one who can use it is enough") {
    World world;
    const std::string body = "the body";
    std::latch joined(1);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      joined.wait();
      return gives(body)({}, sink);
    });
    const auto one = world.join({{ChecksumAlgorithm::sha256, std::string(64, '0')}});
    const auto two = world.join({sha256_of(body)});
    joined.count_down();
    wait_until_over(*one);
    CHECK(one->phase() == Phase::stored); // its own wish is for it to look at
    CHECK(pkc::find_mismatch({{{ChecksumAlgorithm::sha256, std::string(64, '0')}}},
                             one->arrived().checksums));
    CHECK(read_all(*two) == body);
  }

  TEST_CASE("leaving: the last one stops it at once, when it is not to go on in the background") {
    World world(DownloadOptions{.background = std::chrono::milliseconds(0)});
    std::latch begun(1);
    std::binary_semaphore stopped(0);
    world.client.then([&](const FetchRequest& request, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, 100)));
      const std::stop_callback told(request.stop, [&] { stopped.release(); });
      begun.count_down();
      stopped.acquire();
      return fail(Errc::unavailable, "stopped");
    });
    auto one = world.join();
    auto two = world.join();
    begun.wait();
    one.reset();
    CHECK_FALSE(stopped.try_acquire());
    two.reset(); // lets the script end, or this test hangs
    world.downloads.reset();
    CHECK(world.disk.files("/cache/tmp").empty());
  }

  TEST_CASE("leaving: in the background it is finished for whoever comes next") {
    World world;
    const std::string body = noise(100'000);
    std::latch left(1);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      left.wait();
      return gives(body)({}, sink);
    });
    std::binary_semaphore published(0);
    DownloadRequest request = world.request();
    request.publish = [&](const OriginAnswer&, const Arrived&) -> Result<void> {
      published.release();
      return {};
    };
    world.downloads->join(request, {}).value().reset();
    left.count_down();
    published.acquire();
    CHECK((world.fixture.get(sha256(as_bytes(body))).value() == body));
  }

  TEST_CASE("leaving: who comes while it stops has a download of its own") {
    World world({.background = std::chrono::milliseconds(0)});
    std::binary_semaphore begun(0);
    std::binary_semaphore joined(0);
    world.client.then([&](const FetchRequest& request, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, 10)));
      begun.release();
      joined.acquire();
      CHECK(request.stop.stop_requested());
      return fail(Errc::unavailable, "stopped");
    });
    world.client.then(gives("content"));
    auto first = world.join();
    begun.acquire();
    first.reset();
    const auto second = world.join();
    joined.release();
    CHECK(read_all(*second) == "content");
  }

  TEST_CASE("leaving: its time is up also while the origin says nothing") {
    World world({.background = std::chrono::milliseconds(1)});
    std::binary_semaphore begun(0);
    std::binary_semaphore stopped(0);
    world.client.then([&](const FetchRequest& request, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, 10)));
      std::binary_semaphore told(0);
      const std::stop_callback on_stop(request.stop, [&] { told.release(); });
      begun.release();
      told.acquire();
      stopped.release();
      return fail(Errc::unavailable, "stopped");
    });
    auto waiter = world.join();
    begun.acquire();
    waiter.reset();
    CHECK(stopped.try_acquire_for(std::chrono::seconds(30))); // for ever, if nobody looks
  }

  TEST_CASE("stored: what came into the store since somebody looked is not fetched again") {
    World world;
    DownloadRequest request = world.request();
    request.stored = [] {
      return std::optional(
          Arrived{.digest = sha256(as_bytes(std::string("there"))), .size = 5, .checksums = {}});
    };
    const auto waiter = world.downloads->join(std::move(request), {}).value();
    wait_until_over(*waiter);
    CHECK(waiter->phase() == Phase::stored);
    CHECK(waiter->arrived().size == 5);
    CHECK(world.client.requests() == 0);
  }

  TEST_CASE("join: who comes while it is decided whether anybody wants it is told so") {
    World world;
    std::shared_ptr<Waiter> late;
    DownloadRequest request = world.request();
    // When it is published, the decision has been made.
    request.publish = [&](const OriginAnswer&, const Arrived&) -> Result<void> {
      late = world.join();
      return {};
    };
    world.client.then(gives("content"));
    const auto waiter = world.downloads->join(std::move(request), {}).value();
    wait_until_over(*waiter);
    CHECK_FALSE(waiter->came_late());
    CHECK(late->came_late());
    CHECK(late->phase() == Phase::stored);
    CHECK(world.client.requests() == 1);
  }

  TEST_CASE("lull: what has come is passed on before more is waited for") {
    const std::string body = noise(300'000);
    World world;
    std::binary_semaphore seen(0);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      TRY(sink.head(make_head(200, body.size())));
      TRY(sink.write(as_bytes(body).first(65'000)));
      TRY(sink.write(as_bytes(body).subspan(65'000, 65'001))); // at once, so nobody is told
      TRY(sink.lull());
      seen.acquire();
      return sink.write(as_bytes(body).subspan(130'001));
    });
    const auto waiter = world.join();
    std::binary_semaphore ready(0);
    waiter->when_ready(130'000, [&] { ready.release(); });
    ready.acquire();
    CHECK(waiter->piece(130'000).value());
    seen.release();
    CHECK((read_all(*waiter) == body));
  }

  TEST_CASE("publish: its failure is that of the download") {
    World world;
    world.publish_fails = true;
    world.client.then(gives("body"));
    const auto waiter = world.join();
    CHECK_FALSE(read_all(*waiter));
    CHECK(waiter->failure().kind == Failure::Kind::internal);
  }

  TEST_CASE("destruction: those who wait learn that it is over") {
    World world(DownloadOptions{.active_max = 1});
    std::latch begun(1);
    world.client.then([&](const FetchRequest& request, ResponseSink&) -> Result<void> {
      std::binary_semaphore stopped(0);
      const std::stop_callback told(request.stop, [&] { stopped.release(); });
      begun.count_down();
      stopped.acquire();
      return fail(Errc::unavailable, "stopped");
    });
    const auto running = world.join();
    begun.wait();
    DownloadRequest other = world.request();
    other.key = "other";
    const auto queued = world.downloads->join(other, {}).value();
    world.downloads.reset();
    CHECK(running->phase() == Phase::failed);
    CHECK(queued->phase() == Phase::failed);
    CHECK(running->failure().kind == Failure::Kind::unavailable);
  }

  TEST_CASE("join: too many that wait are refused") {
    World world(DownloadOptions{.active_max = 1, .queued_max = 1});
    std::latch begun(1);
    std::latch go_on(1);
    world.client.then([&](const FetchRequest&, ResponseSink& sink) -> Result<void> {
      begun.count_down();
      go_on.wait();
      return gives("a")({}, sink);
    });
    world.client.then(gives("b"));
    const auto first = world.join();
    begun.wait();
    DownloadRequest request = world.request();
    request.key = "second";
    const auto second = world.downloads->join(request, {}).value();
    request.key = "third";
    const auto third = world.downloads->join(request, {});
    REQUIRE_FALSE(third);
    CHECK(third.error().code == Errc::unavailable);
    go_on.count_down();
    CHECK(read_all(*first) == "a");
    CHECK(read_all(*second) == "b");
  }
}
