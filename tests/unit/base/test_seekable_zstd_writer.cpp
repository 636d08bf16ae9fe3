#include "seekable_content.hpp"
#include "support/temp_dir.hpp"

#include <spawn.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <thread>

using pkc::as_bytes;
using pkc::ByteCount;
using pkc::ByteSpan;
using pkc::Errc;
using pkc::kMiB;
using pkc::Result;
using pkc::SeekableZstdFile;
using pkc::SeekableZstdWriter;
using pkc::ZstdEncoderPool;
using pkc::test::decode;
using pkc::test::encode;
using pkc::test::kBlock;
using pkc::test::Kind;
using pkc::test::kKinds;
using pkc::test::kLargest;
using pkc::test::kSizes;
using pkc::test::Listener;
using pkc::test::make_content;
using pkc::test::noise;
using pkc::test::open;
using pkc::test::prose;
using pkc::test::range;
using pkc::test::StringSink;

namespace {

/// Content of a frame of raw blocks that takes 1 MiB.
constexpr ByteCount kRawFrame = kMiB - 30;

/// Runs the zstd program; its exit code, or nothing when there is none.
std::optional<int> run_zstd(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "zstd");
  std::vector<char*> argv;
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  pid_t process = 0;
  if (posix_spawnp(&process, "zstd", nullptr, nullptr, argv.data(), environ) != 0) {
    return std::nullopt;
  }
  int status = 0;
  REQUIRE(waitpid(process, &status, 0) == process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

} // namespace

TEST_SUITE("base::SeekableZstdWriter") {
  TEST_CASE("write: what is stored decodes to the content, at every size and for every content") {
    for (const Kind kind : kKinds) {
      for (const std::size_t size : kSizes) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(size);
        const std::string content = make_content(kind, size);

        const std::string stored = encode(content);

        CHECK((decode(stored) == content));
        CHECK(open(stored).content_size() == size);
        CHECK((range(stored, 0, size) == content));
        // From 64 KiB on, what is raw begins at a page, also after every frame that is not.
        const std::size_t padding = size < 64 * pkc::kKiB ? 0 : 4'096 * (1 + size / (2 * kMiB));
        CHECK(stored.size() < size + size / 1000 + 100 + padding);
      }
    }
  }

  TEST_CASE("write: the zstd program decodes it, too, and finds every checksum right") {
    if (!run_zstd({"-q", "--version"})) {
      MESSAGE("skipped: there is no zstd program here");
      return;
    }
    const pkc::test::TempDir directory;
    for (const Kind kind : kKinds) {
      for (const std::size_t size : kSizes) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(size);
        const std::string content = make_content(kind, size);
        std::ofstream(directory / "stored.zst", std::ios::binary) << encode(content);

        REQUIRE(run_zstd({"-q", "-t", directory / "stored.zst"}) == 0);
        REQUIRE(run_zstd({"-q", "-d", "-f", directory / "stored.zst"}) == 0);

        std::ifstream decoded(directory / "stored", std::ios::binary);
        CHECK((std::string(std::istreambuf_iterator<char>(decoded), {}) == content));
      }
    }
  }

  TEST_CASE("write: the pieces in which content comes make no difference") {
    const std::string content = make_content(Kind::mixed, 3 * kMiB + 12'345);
    const std::string whole = encode(content, content.size());
    for (const std::size_t piece :
         {std::size_t{1'000}, std::size_t{65'536}, std::size_t{131'073}}) {
      CAPTURE(piece);
      CHECK((encode(content, piece) == whole));
    }
    const std::string_view small = std::string_view(content).substr(kMiB - 500, 1'000);
    CHECK((encode(small, 1) == encode(small, small.size())));
  }

  TEST_CASE("write: text shrinks, and noise costs next to nothing") {
    CHECK(encode(prose().substr(0, 4 * kMiB)).size() < kMiB);
    // 8 blocks and a header for each frame, and an entry of the table.
    // In front of them what lets them begin at a page, and 120 bytes that they have no room for.
    CHECK(encode(noise().substr(0, 4 * kMiB)).size() ==
          (4'096 - 9) + 4 * kMiB + (6 + 3 + 4 * 30) + 17 + 6 * 8);
  }

  TEST_CASE("write: frames of both kinds lie in one file") {
    const std::string stored = encode(make_content(Kind::mixed, 4 * kMiB));
    const SeekableZstdFile file = open(stored);
    CHECK(file.raw_piece(0).value());
    CHECK_FALSE(file.raw_piece(kMiB).value());
    CHECK(file.raw_piece(2 * kMiB).value());
    CHECK_FALSE(file.raw_piece(3 * kMiB).value());
    CHECK(file.is_raw(0, kRawFrame).value());
    CHECK(file.is_raw(kRawFrame - 1, 1).value());
    CHECK_FALSE(file.is_raw(kRawFrame - 1, 2).value());
    CHECK_FALSE(file.is_raw(0, 3 * kMiB).value());
  }

  TEST_CASE("write: the observer hears of all content, of raw content where it lies") {
    for (const Kind kind : kKinds) {
      for (const std::size_t size : kSizes) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(size);
        const std::string content = make_content(kind, size);
        ZstdEncoderPool pool;
        StringSink sink;
        Listener listener(sink.text);
        SeekableZstdWriter writer(sink, pool, &listener);
        for (std::size_t at = 0; at < size; at += 30'000) {
          REQUIRE(writer.write(as_bytes(std::string_view(content).substr(at, 30'000))));
          CHECK(writer.content_size() - listener.content.size() <= kBlock);
        }
        REQUIRE(writer.finish());
        CHECK((listener.content == content));
        CHECK((kind != Kind::incompressible || listener.raw == size));
      }
    }
  }

  TEST_CASE("flush: the observer hears of everything at once, and the content stays the same") {
    for (const Kind kind : kKinds) {
      CAPTURE(static_cast<int>(kind));
      const std::string content = make_content(kind, 2 * kMiB + 5);
      ZstdEncoderPool pool;
      StringSink sink;
      Listener listener(sink.text);
      SeekableZstdWriter writer(sink, pool, &listener);
      std::size_t at = 0;
      for (std::size_t piece = 1; at < content.size(); piece += 997) {
        REQUIRE(writer.write(as_bytes(std::string_view(content).substr(at, piece))));
        at += piece;
        REQUIRE(writer.flush());
        CHECK(listener.content.size() == std::min(at, content.size()));
      }
      REQUIRE(writer.finish());
      CHECK((listener.content == content));
      CHECK((decode(sink.text) == content));
      CHECK((range(sink.text, 0, content.size()) == content));
    }
  }

  TEST_CASE("raw blocks begin at pages of the file, also behind compressed frames and flushes") {
    const std::string text = prose().substr(0, kMiB);
    const std::string random = noise().substr(0, 3 * kMiB);
    ZstdEncoderPool pool;
    StringSink sink;
    SeekableZstdWriter writer(sink, pool, nullptr);
    REQUIRE(writer.write(as_bytes(text)));
    REQUIRE(writer.write(as_bytes(random)));
    REQUIRE(writer.flush()); // in the middle of a block
    REQUIRE(writer.write(as_bytes(random)));
    REQUIRE(writer.finish());
    const SeekableZstdFile file = open(sink.text);
    std::size_t off_page = 0;
    for (ByteCount offset = kMiB; offset < file.content_size();) {
      const auto piece = file.raw_piece(offset).value().value();
      off_page += piece.file_offset % 4'096 == 0 ? 0 : 1;
      offset += piece.length;
    }
    CHECK(off_page == 1); // the one after the flush
    CHECK((decode(sink.text) == text + random + random));
  }

  TEST_CASE("raw blocks: wherever a flush ends one, readers find the others") {
    const std::string content = noise().substr(0, 2 * kMiB + 300'000);
    // Around the ends of blocks and of the frame.
    for (const std::size_t cut : {std::size_t{65'536},
                                  std::size_t{131'060},
                                  std::size_t{131'063},
                                  std::size_t{131'066},
                                  std::size_t{131'069},
                                  std::size_t{131'070},
                                  std::size_t{1'044'448},
                                  std::size_t{1'044'450},
                                  std::size_t{1'044'451},
                                  std::size_t{1'048'540},
                                  std::size_t{1'048'545},
                                  std::size_t{1'048'546}}) {
      for (const std::size_t again : {0U, 1U, 3U, 4'090U}) {
        CAPTURE(cut);
        CAPTURE(again);
        ZstdEncoderPool pool;
        StringSink sink;
        SeekableZstdWriter writer(sink, pool, nullptr);
        const std::string_view rest = content;
        REQUIRE(writer.write(as_bytes(rest.substr(0, cut))));
        REQUIRE(writer.flush());
        REQUIRE(writer.write(as_bytes(rest.substr(cut, again))));
        REQUIRE(writer.flush());
        REQUIRE(writer.write(as_bytes(rest.substr(cut + again))));
        REQUIRE(writer.finish());
        CHECK((decode(sink.text) == content));
        const auto runs = open(sink.text).raw_runs(1'000).value().value();
        std::string found;
        for (std::size_t i = 0; i < runs.size(); ++i) {
          CHECK(runs[i].content_begin == found.size());
          const std::size_t end = i + 1 < runs.size() ? runs[i + 1].content_begin : content.size();
          found += sink.text.substr(runs[i].file_begin, end - runs[i].content_begin);
        }
        CHECK((found == content));
        const auto piece = open(sink.text).raw_piece(kMiB / 2).value().value();
        CHECK((sink.text.substr(piece.file_offset, piece.length) ==
               content.substr(kMiB / 2, piece.length)));
      }
    }
  }

  TEST_CASE("flush: with nothing new it writes nothing") {
    ZstdEncoderPool pool;
    StringSink sink;
    SeekableZstdWriter writer(sink, pool, nullptr);
    REQUIRE(writer.flush());
    CHECK(sink.text.empty());
    REQUIRE(writer.write(as_bytes(noise().substr(0, 100))));
    REQUIRE(writer.flush());
    const std::size_t size = sink.text.size();
    REQUIRE(writer.flush());
    CHECK(sink.text.size() == size);
  }

  TEST_CASE("pool: contexts are used again") {
    ZstdEncoderPool pool(1);
    StringSink sink;
    const std::string content = prose().substr(0, 100'000);
    {
      SeekableZstdWriter first(sink, pool, nullptr);
      SeekableZstdWriter second(sink, pool, nullptr);
      REQUIRE(first.write(as_bytes(content)));
      REQUIRE(second.write(as_bytes(content)));
      CHECK(pool.idle_contexts() == 0);
    }
    CHECK(pool.idle_contexts() == 1);
    SeekableZstdWriter third(sink, pool, nullptr);
    REQUIRE(third.write(as_bytes(content)));
    CHECK(pool.idle_contexts() == 0);
  }

  TEST_CASE("write: an error of the target ends it") {
    class Full final : public pkc::ByteSink {
     public:
      Result<void> write(ByteSpan bytes) override {
        room = bytes.size() > room ? 0 : room - bytes.size();
        return room > 0 ? Result<void>{} : pkc::fail(Errc::no_space, "full");
      }
      std::size_t room = 200'000;
    } full;
    ZstdEncoderPool pool;
    SeekableZstdWriter writer(full, pool, nullptr);
    const auto written = writer.write(as_bytes(noise().substr(0, kMiB)));
    REQUIRE_FALSE(written);
    CHECK(written.error().code == Errc::no_space);
  }

  TEST_CASE("helpers: what is written is the same as without, by several writers at once") {
    ZstdEncoderPool pool(4, 3);
    std::array<StringSink, kKinds.size()> sinks;
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < kKinds.size(); ++i) {
        threads.emplace_back([&pool, &sink = sinks[i], text = make_content(kKinds[i], kLargest)] {
          SeekableZstdWriter writer(sink, pool, nullptr);
          for (std::size_t at = 0; at < text.size(); at += 70'000) {
            static_cast<void>(writer.write(as_bytes(std::string_view(text).substr(at, 70'000))));
          }
          static_cast<void>(writer.finish());
        });
      }
    }
    for (std::size_t i = 0; i < kKinds.size(); ++i) {
      CAPTURE(static_cast<int>(kKinds[i]));
      CHECK((sinks[i].text == encode(make_content(kKinds[i], kLargest))));
    }
  }

  TEST_CASE("helpers: raw frames wait for the compressed ones before them") {
    ZstdEncoderPool pool(4, 2);
    const std::string content = make_content(Kind::mixed, kLargest);
    StringSink sink;
    Listener listener(sink.text);
    SeekableZstdWriter writer(sink, pool, &listener);
    REQUIRE(writer.write(as_bytes(content)));
    REQUIRE(writer.finish());
    CHECK((listener.content == content)); // read where it was said to lie
  }

  TEST_CASE("helpers: an error of the target ends it, whichever frame it comes with") {
    const std::string content = make_content(Kind::compressible, kLargest);
    std::size_t room = 0;
    for (bool good = false; !good; ++room) {
      class Full final : public pkc::ByteSink {
       public:
        explicit Full(std::size_t writes) : left_(writes) {}
        Result<void> write(ByteSpan /*bytes*/) override {
          return left_-- > 0 ? Result<void>{} : pkc::fail(Errc::no_space, "full");
        }

       private:
        std::size_t left_;
      } full(room);
      ZstdEncoderPool pool(4, 2);
      SeekableZstdWriter writer(full, pool, nullptr);
      auto written = writer.write(as_bytes(content));
      written = written ? writer.finish() : written;
      good = written.has_value();
      CHECK((good || written.error().code == Errc::no_space));
    }
    CHECK(room == 7); // six writes are needed: five frames and the table
  }

  TEST_CASE("helpers: a writer that goes early leaves its contexts to others") {
    ZstdEncoderPool pool(8, 2);
    StringSink sink;
    {
      SeekableZstdWriter writer(sink, pool, nullptr);
      REQUIRE(writer.write(as_bytes(make_content(Kind::compressible, 3 * kMiB + 100'000))));
      CHECK(sink.text.empty()); // three frames are with the helpers
      CHECK(pool.idle_contexts() == 0);
    }
    CHECK(pool.idle_contexts() == 4);
  }
}
