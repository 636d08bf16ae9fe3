// SplicePipe by itself: what has room, what is left, and what becomes of it.
#include "splice_pipe.hpp"
#include "unit/http/waiting_fixture.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <string>

namespace pkc::http::test {
namespace {

std::string take(SplicePipe& pipe, std::size_t count) {
  std::string text(count, '\0');
  const ssize_t got = ::read(pipe.descriptor(), text.data(), count);
  REQUIRE(got >= 0);
  text.resize(static_cast<std::size_t>(got));
  pipe.took(text.size());
  return text;
}

TEST_SUITE("http::SplicePipe") {
  TEST_CASE("parts come out as they were put in") {
    const Growing file(100'000);
    const int descriptor = file.file()->descriptor();
    SplicePipe pipe;
    REQUIRE(pipe.open());
    REQUIRE(pipe.open());

    CHECK(pipe.add(descriptor, 90'000, 5'000).value() == 5'000);
    CHECK(pipe.add(descriptor, 1, 20).value() == 20);
    CHECK(pipe.size() == 5'020);

    CHECK(take(pipe, 5'010) == file.text().substr(90'000, 5'000) + file.text().substr(1, 10));
    CHECK(pipe.size() == 10);
  }

  TEST_CASE("full: takes four blocks at pages of the file, and no more") {
    constexpr std::size_t kBlock = 131'069;
    const Growing file(600'000);
    const int descriptor = file.file()->descriptor();
    SplicePipe pipe;
    REQUIRE(pipe.open());
    for (ByteCount block = 0; block < 4; ++block) {
      REQUIRE(pipe.add(descriptor, block * 131'072, kBlock).value() == kBlock);
    }

    CHECK(pipe.add(descriptor, 0, 1).value() == 0);
    CHECK(pipe.size() == 4 * kBlock);
  }

  TEST_CASE("end of the file: what is there, then nothing") {
    const Growing file(10'000);
    const int descriptor = file.file()->descriptor();
    SplicePipe pipe;
    REQUIRE(pipe.open());

    CHECK(pipe.add(descriptor, 9'990, 100).value() == 10);
    CHECK(pipe.add(descriptor, 10'000, 100).value() == 0);
    CHECK(pipe.size() == 10);
  }

  TEST_CASE("clear: what was left is never seen again") {
    const Growing file(10'000);
    const int descriptor = file.file()->descriptor();
    SplicePipe pipe;
    REQUIRE(pipe.open());
    REQUIRE(pipe.add(descriptor, 0, 100).value() == 100);
    CHECK(take(pipe, 40).size() == 40);

    pipe.clear();
    CHECK(pipe.size() == 0);
    REQUIRE(pipe.open());
    REQUIRE(pipe.add(descriptor, 5'000, 10).value() == 10);
    CHECK(take(pipe, 100) == file.text().substr(5'000, 10));
  }

  TEST_CASE("no file: an error, and nothing is in it") {
    SplicePipe pipe;
    REQUIRE(pipe.open());
    const auto added = pipe.add(-1, 0, 10);
    REQUIRE_FALSE(added);
    CHECK(added.error().code == Errc::io);
    CHECK(pipe.size() == 0);
  }
}

} // namespace
} // namespace pkc::http::test
