#include "support/artifact_builder.hpp"

#include "pkc/base/zstd.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc {
namespace {

using test::zstd_frame;
using test::zstd_skippable;
using test::zstd_zeros;
using test::ZstdStyle;

/// Keeps what it is given, up to a limit, and counts all of it.
class Collector : public ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    count += bytes.size();
    if (text.size() < 4 * kMiB) {
      text.append(as_text(bytes));
    }
    return {};
  }
  std::string text;
  ByteCount count = 0;
};

/// Refuses everything.
class Refuser : public ByteSink {
 public:
  Result<void> write(ByteSpan /*bytes*/) override {
    return fail(Errc::conflict, "refused by the target");
  }
};

Result<void> decode_to(ByteSink& sink,
                       std::string_view input,
                       const ZstdDecodeLimits& limits,
                       std::size_t step = ~std::size_t{0}) {
  ZstdContextPool pool;
  ZstdDecoder decoder(sink, pool, limits);
  while (!input.empty()) {
    const std::string_view piece = input.substr(0, step);
    TRY(decoder.write(as_bytes(piece)));
    input.remove_prefix(piece.size());
  }
  return decoder.finish();
}

Result<std::string> decode(std::string_view input,
                           const ZstdDecodeLimits& limits = {},
                           std::size_t step = ~std::size_t{0}) {
  Collector collector;
  TRY(decode_to(collector, input, limits, step));
  return std::move(collector.text);
}

/// Text that compresses, but not to nothing.
std::string sample(std::size_t size) {
  std::string text;
  std::uint32_t state = 1;
  while (text.size() < size) {
    state = state * 1664525U + 1013904223U;
    text += "line " + std::to_string(state >> 20U) + "\n";
  }
  text.resize(size);
  return text;
}

/// A number as `size` little-endian bytes.
std::string little_endian(std::uint64_t value, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < size; ++i) {
    out += static_cast<char>(value >> (8 * i) & 0xFFU);
  }
  return out;
}

const std::string kFrameMagic("\x28\xB5\x2F\xFD", 4);

/// A frame with one raw block "abc"; `header` is what comes between magic and block.
std::string raw_frame(std::string_view header) {
  return kFrameMagic + std::string(header) + little_endian((3U << 3U) | 1U, 3) + "abc";
}

TEST_SUITE("base::ZstdDecoder") {
  TEST_CASE("write: every kind of frame sequence decodes to its content") {
    const std::string text = sample(300'000);
    struct Row {
      const char* name;
      std::string input;
      std::string content;
    };
    const std::vector<Row> rows{
        {"the client's dialect", zstd_frame(text), text},
        {"an empty frame", zstd_frame(""), ""},
        {"fast level", zstd_frame(text, {.level = -5}), text},
        {"slow level", zstd_frame(text, {.level = 19}), text},
        {"checksum", zstd_frame(text, {.checksum = true}), text},
        {"content size", zstd_frame(text, {.content_size = true}), text},
        {"small content size", zstd_frame("abc", {.content_size = true}), "abc"},
        {"window of 2^27", zstd_frame(text, {.window_log = 27}), text},
        {"two frames", zstd_frame("one ") + zstd_frame("two", {.checksum = true}), "one two"},
        {"skippable frames around",
         zstd_skippable("note") + zstd_frame("x") + zstd_skippable("", 15),
         "x"},
        {"only a skippable frame", zstd_skippable("note"), ""},
        {"dictionary id 0", raw_frame(std::string("\x01\x58\x00", 3)), "abc"},
    };
    for (const auto& [name, input, content] : rows) {
      CAPTURE(name);
      const auto decoded = decode(input);
      REQUIRE(decoded.has_value());
      CHECK(*decoded == content);
    }
  }

  TEST_CASE("write: the client's frames begin with the bytes that the reference records") {
    CHECK(zstd_frame(sample(5000)).substr(0, 6) == std::string("\x28\xB5\x2F\xFD\x00\x58", 6));
  }

  TEST_CASE("write: the size of the pieces does not matter") {
    const std::string text = sample(70'000);
    const std::string input = zstd_skippable("12345") + zstd_frame(text, {.checksum = true}) +
                              zstd_frame("tail", {.content_size = true});
    for (const std::size_t step : {1U, 2U, 3U, 7U, 100U, 4096U}) {
      CAPTURE(step);
      CHECK(decode(input, {}, step).value() == text + "tail");
    }
  }

  TEST_CASE("write: what is not zstd of our kind is refused") {
    std::string damaged = zstd_frame(sample(1000), {.checksum = true});
    damaged.back() = static_cast<char>(damaged.back() ^ 1);
    struct Row {
      const char* name;
      std::string input;
      std::string message;
    };
    const std::vector<Row> rows{
        {"nothing", "", "the body is empty"},
        {"text", "not a valid artifact", "the body is not zstd data"},
        {"gzip", std::string("\x1F\x8B\x08\x00\x00", 5), "the body is not zstd data"},
        {"legacy v0.7", std::string("\x27\xB5\x2F\xFD\x00\x58", 6), "the body is not zstd data"},
        {"legacy v0.1", std::string("\xFD\x2F\xB5\x1E\x00\x00", 6), "the body is not zstd data"},
        {"trailing text",
         zstd_frame("x") + "junk",
         "something that is not zstd data follows the last frame"},
        {"trailing bytes fewer than a magic",
         zstd_frame("x") + "ju",
         "the zstd data ends inside a frame"},
        {"dictionary", raw_frame("\x01\x58\x07"), "the zstd data needs a dictionary"},
        {"window of 2^28",
         raw_frame(std::string("\x00\x90", 2)),
         "the zstd window is larger than 2^27"},
        {"window just above 2^27",
         raw_frame(std::string("\x00\x89", 2)),
         "the zstd window is larger than 2^27"},
        {"one segment above 2^27",
         raw_frame("\xA0" + little_endian((1U << 27U) + 1, 4)),
         "the zstd window is larger than 2^27"},
        {"reserved bit",
         raw_frame("\x08\x58"),
         "the zstd data is damaged: Unsupported frame parameter"},
        {"wrong checksum",
         damaged,
         "the zstd data is damaged: Restored data doesn't match checksum"},
        {"wrong content size",
         raw_frame("\x20\x04"),
         "the zstd data is damaged: Data corruption detected"},
        {"cut skippable frame",
         zstd_skippable("note").substr(0, 10),
         "the zstd data ends inside a frame"},
    };
    for (const auto& [name, input, message] : rows) {
      CAPTURE(name);
      const auto decoded = decode(input);
      REQUIRE_FALSE(decoded.has_value());
      CHECK(decoded.error().code == Errc::invalid_argument);
      CHECK(decoded.error().message == message);
    }
  }

  TEST_CASE("finish: every prefix of a frame is incomplete") {
    const std::string input = zstd_frame(sample(300), {.checksum = true});
    for (std::size_t size = 0; size < input.size(); ++size) {
      CAPTURE(size);
      const auto decoded = decode(std::string_view(input).substr(0, size));
      REQUIRE_FALSE(decoded.has_value());
      CHECK(decoded.error().code == Errc::invalid_argument);
    }
  }

  TEST_CASE("write: an error of the target comes back as it is") {
    Refuser refuser;
    const auto result = decode_to(refuser, zstd_frame("x"), {});
    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Errc::conflict);
  }

  TEST_CASE("write: content up to the decoded limit passes, one byte more does not") {
    const ZstdDecodeLimits limits{.decoded_size_max = 1000};
    struct Row {
      const char* name;
      std::string input;
      bool passes;
    };
    const std::string half(500, 'x');
    const std::vector<Row> rows{
        {"at the limit", zstd_frame(half + half), true},
        {"beyond", zstd_frame(half + half + "x"), false},
        {"declared beyond", zstd_frame(half + half + "x", {.content_size = true}), false},
        {"two frames at the limit", zstd_frame(half) + zstd_frame(half), true},
        {"two frames beyond",
         zstd_frame(half) + zstd_frame(half + "x", {.content_size = true}),
         false},
    };
    for (const auto& [name, input, passes] : rows) {
      CAPTURE(name);
      const auto decoded = decode(input, limits);
      CHECK(decoded.has_value() == passes);
      if (!decoded) {
        CHECK(decoded.error().code == Errc::too_large);
      }
    }
  }

  TEST_CASE("write: a bomb is stopped by its ratio, earlier when its window is large") {
    const std::vector<std::pair<int, ByteCount>> rows{{0, 256 * kMiB}, {27, 16 * kMiB}};
    for (const auto& [window_log, free_size] : rows) {
      CAPTURE(window_log);
      Collector collector;
      const std::string bomb = zstd_zeros(512 * kMiB, {.window_log = window_log});
      REQUIRE(bomb.size() < 24'000);

      const auto result = decode_to(collector, bomb, {});

      REQUIRE_FALSE(result.has_value());
      CHECK(result.error().code == Errc::too_large);
      CHECK(collector.count <= std::max<ByteCount>(free_size, 2048 * bomb.size()));
    }
  }

  TEST_CASE("write: strong compression below the free size is not a bomb") {
    Collector collector;
    CHECK(decode_to(collector, zstd_zeros(256 * kMiB), {}).has_value());
    CHECK(collector.count == 256 * kMiB);
  }

  TEST_CASE("write: without a ratio limit only the decoded size counts") {
    Collector collector;
    CHECK(decode_to(collector, zstd_zeros(64 * kMiB), {.ratio_max = 0}).has_value());
    CHECK(collector.count == 64 * kMiB);
  }
}

/// How far the peak of this process's memory grew while `work` ran in a child, in KiB; nothing when
/// `work` was false. A child, so that neither earlier tests nor the allocator's caches count.
template <typename Work>
std::optional<long> peak_growth_kib(Work work) {
  const auto peak = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const long before = peak();
    long growth = work() ? 0 : -1;
    if (growth == 0) {
      growth = peak() - before;
    }
    const bool written = ::write(writer.get(), &growth, sizeof growth) == sizeof growth;
    _exit(written ? 0 : 1);
  }
  writer.reset();
  long growth = -1;
  const bool got = ::read(reader.get(), &growth, sizeof growth) == sizeof growth;
  REQUIRE(waitpid(child, nullptr, 0) == child);
  return got && growth >= 0 ? std::optional(growth) : std::nullopt;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kMemoryIsOurs = false; // shadow memory would be measured as well
#else
constexpr bool kMemoryIsOurs = true;
#endif

class Discard : public ByteSink {
 public:
  Result<void> write(ByteSpan /*bytes*/) override { return {}; }
};

TEST_SUITE("base::ZstdDecoder memory") {
  TEST_CASE("write: a bomb of 10 KiB with a window of 128 MiB touches less than 30 MiB") {
    const std::string bomb = zstd_zeros(300 * kMiB, {.window_log = 27}).substr(0, 10 * kKiB);
    const auto growth = peak_growth_kib([&bomb] {
      Discard discard;
      return !decode_to(discard, bomb, {}).has_value();
    });
    REQUIRE(growth.has_value());
    CAPTURE(*growth);
    CHECK((!kMemoryIsOurs || *growth < 30 * 1024));
  }

  TEST_CASE("write: memory does not grow with the decoded size") {
    const std::string body = zstd_zeros(1 * kGiB);
    const auto growth = peak_growth_kib([&body] {
      Discard discard;
      return decode_to(discard, body, {.ratio_max = 0}).has_value();
    });
    REQUIRE(growth.has_value());
    CAPTURE(*growth);
    CHECK((!kMemoryIsOurs || *growth < 8 * 1024));
  }
}

TEST_SUITE("base::ZstdContextPool") {
  TEST_CASE("release: a context is kept for the next decoder, also after an error") {
    ZstdContextPool pool;
    Collector collector;
    for (int round = 0; round < 3; ++round) {
      ZstdDecoder failing(collector, pool, {});
      REQUIRE(failing.write(as_bytes(zstd_frame("abc").substr(0, 8))).has_value());
    }
    CHECK(pool.usage().idle_contexts == 1);

    collector.text.clear();
    ZstdDecoder decoder(collector, pool, {});
    CHECK(pool.usage().idle_contexts == 1);
    REQUIRE(decoder.write(as_bytes(zstd_frame("whole"))).has_value());
    CHECK(pool.usage().idle_contexts == 0);
    CHECK(decoder.finish().has_value());
    CHECK(collector.text == "whole");
  }

  TEST_CASE("release: a context that held a large window is freed") {
    ZstdContextPool pool;
    Collector collector;
    {
      ZstdDecoder decoder(collector, pool, {});
      REQUIRE(decoder.write(as_bytes(zstd_frame("abc", {.window_log = 27}))).has_value());
    }
    CHECK(pool.usage().idle_contexts == 0);
    CHECK(pool.usage().idle_bytes == 0);
  }

  TEST_CASE("release: no more contexts than the limits are kept") {
    ZstdContextPool pool({.idle_max = 2});
    Collector collector;
    {
      std::vector<std::unique_ptr<ZstdDecoder>> decoders;
      for (int i = 0; i < 5; ++i) {
        decoders.push_back(std::make_unique<ZstdDecoder>(collector, pool, ZstdDecodeLimits{}));
        REQUIRE(decoders.back()->write(as_bytes(zstd_frame("abc"))).has_value());
      }
    }
    CHECK(pool.usage().idle_contexts == 2);
    CHECK(pool.usage().idle_bytes < 8 * kMiB);
  }

  TEST_CASE("reserve: large windows in flight share one budget and give it back") {
    ZstdContextPool pool({.window_budget = 256 * kMiB});
    Collector collector;
    const std::string large = zstd_frame("abc", {.window_log = 27});
    {
      ZstdDecoder first(collector, pool, {});
      ZstdDecoder second(collector, pool, {});
      ZstdDecoder third(collector, pool, {});
      REQUIRE(first.write(as_bytes(large)).has_value());
      REQUIRE(first.write(as_bytes(large)).has_value()); // the same window again costs nothing
      REQUIRE(second.write(as_bytes(large)).has_value());
      CHECK(pool.usage().reserved_bytes == 256 * kMiB);

      const auto refused = third.write(as_bytes(large));

      REQUIRE_FALSE(refused.has_value());
      CHECK(refused.error().code == Errc::unavailable);
    }
    CHECK(pool.usage().reserved_bytes == 0);
  }

  TEST_CASE("reserve: windows up to 8 MiB and small contents need no budget") {
    ZstdContextPool pool({.window_budget = 0});
    Collector collector;
    ZstdDecoder decoder(collector, pool, {});
    CHECK(decoder.write(as_bytes(zstd_frame("abc", {.window_log = 23}))).has_value());
    CHECK(
        decoder.write(as_bytes(raw_frame(std::string("\x80\x88\x03\x00\x00\x00", 6)))).has_value());
    CHECK(decoder.finish().has_value());
  }

  TEST_CASE("release: a smaller window limit holds for a reused context") {
    ZstdContextPool pool;
    Collector collector;
    {
      ZstdDecoder decoder(collector, pool, {});
      REQUIRE(decoder.write(as_bytes(zstd_frame("abc"))).has_value());
    }
    ZstdDecoder decoder(collector, pool, {.window_log_max = 20});
    CHECK_FALSE(decoder.write(as_bytes(zstd_frame("abc"))).has_value());
  }
}

} // namespace
} // namespace pkc
