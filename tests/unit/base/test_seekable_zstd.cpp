#include "support/temp_dir.hpp"

#include "pkc/base/seekable_zstd.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using pkc::as_bytes;
using pkc::as_text;
using pkc::ByteCount;
using pkc::ByteSpan;
using pkc::Errc;
using pkc::FilePiece;
using pkc::kKiB;
using pkc::kMiB;
using pkc::Result;
using pkc::SeekableZstdFile;
using pkc::SeekableZstdWriter;
using pkc::SeekTable;
using pkc::ZstdContextPool;
using pkc::ZstdEncoderPool;

namespace {

constexpr ByteCount kBlock = 128 * kKiB;

class StringSink final : public pkc::ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    text += as_text(bytes);
    return {};
  }
  std::string text;
};

class StringSource final : public pkc::ByteSource {
 public:
  StringSource(std::string_view text, std::size_t piece) : rest_(text), piece_(piece) {}
  Result<std::size_t> read(pkc::MutableByteSpan buffer) override {
    const std::size_t count = std::min({rest_.size(), buffer.size(), piece_});
    std::ranges::copy(as_bytes(rest_.substr(0, count)), buffer.begin());
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
  std::size_t piece_;
};

/// A file in memory.
class StringFile final : public pkc::File {
 public:
  explicit StringFile(std::string text) : text_(std::move(text)) {}
  Result<std::size_t> read_at(ByteCount offset, pkc::MutableByteSpan buffer) override {
    ++reads;
    const std::size_t begin = std::min<ByteCount>(offset, text_.size());
    const std::size_t count = std::min(text_.size() - begin, buffer.size());
    std::ranges::copy(as_bytes(std::string_view(text_).substr(begin, count)), buffer.begin());
    bytes_read += count;
    return count;
  }
  Result<void> write(ByteSpan /*bytes*/) override { return {}; }
  void begin_sync() override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] pkc::FileStat opened_stat() const override { return {}; }
  [[nodiscard]] int descriptor() const override { return -1; }

  std::size_t reads = 0;
  std::size_t bytes_read = 0;

 private:
  std::string text_;
};

/// Puts content together again from what the writer says of it.
class Listener final : public pkc::SeekableZstdObserver {
 public:
  explicit Listener(const std::string& stored) : stored_(stored) {}
  void on_raw(ByteCount content_offset, ByteCount stored_offset, ByteCount length) override {
    CHECK(content_offset == content.size());
    REQUIRE(stored_offset + length <= stored_.size());
    content += stored_.substr(stored_offset, length);
    raw += length;
  }
  Result<void> on_compressed(ByteCount content_offset, ByteSpan bytes) override {
    CHECK(content_offset == content.size());
    content += as_text(bytes);
    return {};
  }

  std::string content;
  ByteCount raw = 0;

 private:
  const std::string& stored_;
};

std::string random_text(std::size_t size, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  std::ranges::generate(text, [&] { return static_cast<char>(random()); });
  return text;
}

std::string lines(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; text.size() < size; ++i) {
    text += "line " + std::to_string(i * i) + " of a build log\n";
  }
  text.resize(size);
  return text;
}

enum class Kind {
  incompressible,
  compressible,
  mixed, ///< frame by frame
  sample_lies_low,
  sample_lies_high,
};
constexpr std::array kKinds{Kind::incompressible,
                            Kind::compressible,
                            Kind::mixed,
                            Kind::sample_lies_low,
                            Kind::sample_lies_high};

constexpr std::size_t kLargest = 4 * kMiB + 300'000;

const std::string& noise() {
  static const std::string text = random_text(kLargest);
  return text;
}

const std::string& prose() {
  static const std::string text = lines(kLargest);
  return text;
}

std::string make_largest(Kind kind) {
  constexpr std::size_t kSample = 64 * kKiB;
  switch (kind) {
    case Kind::incompressible:
      return noise();
    case Kind::compressible:
      return prose();
    case Kind::mixed: {
      std::string text = noise();
      for (std::size_t at = kMiB; at < kLargest; at += 2 * kMiB) {
        text.replace(at, std::min<std::size_t>(kMiB, kLargest - at), prose(), at, kMiB);
      }
      return text;
    }
    case Kind::sample_lies_low: // begins like text, and is none
      return prose().substr(0, kSample) + noise().substr(kSample);
    case Kind::sample_lies_high:
      return noise().substr(0, kSample) + prose().substr(kSample);
  }
  return {};
}

/// REQUIRES: size <= kLargest.
std::string make_content(Kind kind, std::size_t size) {
  static std::map<Kind, std::string> made;
  std::string& largest = made[kind];
  if (largest.empty()) {
    largest = make_largest(kind);
  }
  return largest.substr(0, size);
}

std::string encode(std::string_view content, std::size_t piece = 50'000) {
  ZstdEncoderPool pool;
  StringSink sink;
  SeekableZstdWriter writer(sink, pool, nullptr);
  for (std::size_t at = 0; at < content.size(); at += piece) {
    REQUIRE(writer.write(as_bytes(content.substr(at, piece))));
  }
  REQUIRE(writer.finish());
  CHECK(writer.content_size() == content.size());
  CHECK(writer.stored_size() == sink.text.size());
  return sink.text;
}

std::string decode(std::string_view stored) {
  ZstdContextPool pool;
  StringSink sink;
  pkc::ZstdDecoder decoder(sink, pool, {.window_log_max = 20});
  REQUIRE(decoder.write(as_bytes(stored)));
  REQUIRE(decoder.finish());
  return sink.text;
}

Result<std::string> read_all(pkc::ByteSource& source, std::size_t piece = 10'000) {
  std::string text;
  std::string buffer(piece, '\0');
  while (true) {
    TRY_ASSIGN(const std::size_t count, source.read(std::as_writable_bytes(std::span(buffer))));
    if (count == 0) {
      return text;
    }
    text.append(buffer, 0, count);
  }
}

SeekableZstdFile open(const std::string& stored) {
  return SeekableZstdFile::open(std::make_shared<StringFile>(stored), stored.size()).value();
}

std::string range(const std::string& stored, ByteCount offset, ByteCount length) {
  ZstdContextPool pool;
  return read_all(*open(stored).content(offset, length, pool)).value();
}

/// Sizes at both sides of every boundary.
const std::vector<std::size_t> kSizes = [] {
  std::vector<std::size_t> sizes{0, 1, 2, 100};
  for (const std::size_t edge : {64 * kKiB, 128 * kKiB, 256 * kKiB, kMiB, 2 * kMiB}) {
    for (const std::size_t size : {edge - 1, edge, edge + 1}) {
      sizes.push_back(size);
    }
  }
  sizes.push_back(3 * kMiB + 300'000);
  return sizes;
}();

} // namespace

TEST_SUITE("base::seekable_zstd") {
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
        CHECK(stored.size() < size + size / 1000 + 100);
      }
    }
  }

  TEST_CASE("write: the zstd program decodes it, too, and finds every checksum right") {
    if (std::system("zstd --version >/dev/null 2>&1") != 0) { // NOLINT(concurrency-mt-unsafe)
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

        const std::string command =
            "cd " + directory.path() + " && zstd -q -t stored.zst && zstd -q -d -f stored.zst";
        REQUIRE(std::system(command.c_str()) == 0); // NOLINT(concurrency-mt-unsafe)

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
    CHECK(encode(noise().substr(0, 4 * kMiB)).size() == 4 * kMiB + 4 * (6 + 8 * 3 + 8) + 17);
  }

  TEST_CASE("write: frames of both kinds lie in one file") {
    const std::string stored = encode(make_content(Kind::mixed, 4 * kMiB));
    const SeekableZstdFile file = open(stored);
    CHECK(file.raw_piece(0).value());
    CHECK_FALSE(file.raw_piece(kMiB).value());
    CHECK(file.raw_piece(2 * kMiB).value());
    CHECK_FALSE(file.raw_piece(3 * kMiB).value());
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

  TEST_CASE("content: any range, read from no more than the frames that it touches") {
    const std::string content = make_content(Kind::mixed, 4 * kMiB + 777);
    const std::string stored = encode(content);
    std::mt19937_64 random(7);
    std::vector<std::pair<ByteCount, ByteCount>> ranges{{0, 0},
                                                        {0, 1},
                                                        {content.size(), 0},
                                                        {content.size() - 1, 1},
                                                        {kMiB - 1, 2},
                                                        {kMiB, kMiB},
                                                        {2 * kMiB - 1, kMiB + 2}};
    for (int i = 0; i < 50; ++i) {
      const ByteCount offset = random() % content.size();
      ranges.emplace_back(offset, random() % (content.size() - offset));
    }
    for (const auto& [offset, length] : ranges) {
      CAPTURE(offset);
      CAPTURE(length);
      CHECK((range(stored, offset, length) == content.substr(offset, length)));
    }

    const auto file = std::make_shared<StringFile>(stored);
    const auto opened = SeekableZstdFile::open(file, stored.size()).value();
    ZstdContextPool pool;
    const std::size_t before = file->bytes_read;
    CHECK(read_all(*opened.content(3 * kMiB, 10, pool)).value() == content.substr(3 * kMiB, 10));
    CHECK(file->bytes_read - before < kMiB / 2);
  }

  TEST_CASE("content: whoever reads it gives the context back, also half-way") {
    const std::string stored = encode(prose().substr(0, 2 * kMiB));
    ZstdContextPool pool;
    const SeekableZstdFile file = open(stored);
    {
      const auto source = file.content(0, 2 * kMiB, pool);
      std::array<std::byte, 100> buffer{};
      REQUIRE(source->read(buffer).value() == buffer.size());
      CHECK(pool.usage().idle_contexts == 0);
    }
    CHECK(pool.usage().idle_contexts == 1);
    const auto source = file.content(5, 50, pool);
    std::array<std::byte, 100> buffer{};
    CHECK(source->read(buffer).value() == 50);
    CHECK(pool.usage().idle_contexts == 1);
    CHECK(source->read(buffer).value() == 0);
  }

  TEST_CASE("raw_piece: following the pieces gives the content, in blocks of 128 KiB") {
    const std::string content = noise().substr(0, 2 * kMiB + 200'000);
    const std::string stored = encode(content);
    const SeekableZstdFile file = open(stored);
    std::string found;
    std::size_t pieces = 0;
    while (found.size() < content.size()) {
      const FilePiece piece = file.raw_piece(found.size()).value().value();
      REQUIRE(piece.length >= 1);
      found += stored.substr(piece.file_offset, piece.length);
      ++pieces;
    }
    CHECK((found == content));
    CHECK(pieces == 18);
    for (const ByteCount offset : {ByteCount{1}, kBlock - 1, kBlock + 1, kMiB + 3 * kBlock + 5}) {
      CAPTURE(offset);
      const FilePiece piece = file.raw_piece(offset).value().value();
      CHECK(piece.length == kBlock - offset % kBlock);
      CHECK(
          (stored.substr(piece.file_offset, piece.length) == content.substr(offset, piece.length)));
    }
  }

  TEST_CASE("raw_piece: pieces of a flushed frame are found, but not among very many") {
    ZstdEncoderPool pool;
    StringSink sink;
    SeekableZstdWriter writer(sink, pool, nullptr);
    const std::string content = noise().substr(0, 20 * kKiB);
    for (std::size_t at = 0; at < content.size(); at += 100) {
      REQUIRE(writer.write(as_bytes(std::string_view(content).substr(at, 100))));
      REQUIRE(writer.flush());
    }
    REQUIRE(writer.finish());
    const SeekableZstdFile file = open(sink.text);
    const FilePiece piece = file.raw_piece(1'234).value().value();
    CHECK(piece.length == 66);
    CHECK(sink.text.substr(piece.file_offset, 66) == content.substr(1'234, 66));
    CHECK_FALSE(file.raw_piece(15'000).value());
    CHECK(range(sink.text, 15'000, 100) == content.substr(15'000, 100));
  }

  TEST_CASE("raw_piece: a small file costs few reads") {
    const std::string stored = encode(noise().substr(0, 1'000));
    const auto file = std::make_shared<StringFile>(stored);
    const auto opened = SeekableZstdFile::open(file, stored.size()).value();
    REQUIRE(opened.raw_piece(0).value());
    CHECK(file->reads == 3);
  }

  TEST_CASE("decoding source: gives the last piece only after the end of what is stored") {
    /// Ends with an error, as a verifying source does when the digest is wrong.
    class Failing final : public pkc::ByteSource {
     public:
      explicit Failing(std::string_view text) : source_(text, 1'000) {}
      Result<std::size_t> read(pkc::MutableByteSpan buffer) override {
        TRY_ASSIGN(const std::size_t count, source_.read(buffer));
        return count > 0 ? Result<std::size_t>(count) : pkc::fail(Errc::corrupt, "wrong digest");
      }

     private:
      StringSource source_;
    };
    for (const std::string& content :
         {prose().substr(0, 300'000), noise().substr(0, 300'000), std::string()}) {
      CAPTURE(content.size());
      const std::string stored = encode(content);
      ZstdContextPool pool;
      const auto source =
          pkc::make_decoding_source(std::make_unique<Failing>(stored), content.size(), pool);
      std::string got;
      std::array<std::byte, 50'000> buffer{};
      auto count = source->read(buffer);
      while (count && *count > 0) {
        got += as_text(ByteSpan(buffer).first(*count));
        count = source->read(buffer);
      }
      REQUIRE_FALSE(count);
      CHECK(count.error().code == Errc::corrupt);
      CHECK((content.empty() ? got.empty() : got.size() < content.size()));
      CHECK((got == content.substr(0, got.size())));

      const auto good = pkc::make_decoding_source(
          std::make_unique<StringSource>(stored, 333), content.size(), pool);
      CHECK((read_all(*good).value() == content));
    }
  }

  TEST_CASE("decoding source: what is not exactly the content is corrupt") {
    const std::string content = prose().substr(0, 200'000);
    const std::string stored = encode(content);
    ZstdContextPool pool;
    const auto result_of = [&](std::string_view bytes, ByteCount size) {
      const auto source =
          pkc::make_decoding_source(std::make_unique<StringSource>(bytes, 4'096), size, pool);
      return read_all(*source);
    };
    REQUIRE(result_of(stored, content.size()));
    for (const ByteCount size : {content.size() - 1, content.size() + 1, ByteCount{0}}) {
      CAPTURE(size);
      CHECK(result_of(stored, size).error().code == Errc::corrupt);
    }
    for (const std::size_t cut : {std::size_t{0}, std::size_t{3}, stored.size() - 100}) {
      CAPTURE(cut);
      CHECK(result_of(stored.substr(0, cut), content.size()).error().code == Errc::corrupt);
    }
    const std::string legacy = "\x27\xb5\x2f\xfd" + stored.substr(4); // the format of zstd 0.7
    CHECK(result_of(legacy, content.size()).error().code == Errc::corrupt);
    CHECK(result_of(stored + "tail", content.size()).error().code == Errc::corrupt);
  }

  TEST_CASE("decoding source: a flipped bit in a compressed frame never gives a wrong byte") {
    const std::string content = prose().substr(0, 20'000);
    const std::string stored = encode(content);
    ZstdContextPool pool;
    std::size_t noticed = 0;
    for (std::size_t at = 0; at < stored.size(); ++at) {
      std::string flipped = stored;
      flipped[at] = static_cast<char>(flipped[at] ^ 4);
      const auto source = pkc::make_decoding_source(
          std::make_unique<StringSource>(flipped, 4'096), content.size(), pool);
      const auto got = read_all(*source, content.size());
      REQUIRE((!got || *got == content));
      noticed += got ? 0U : 1U;
    }
    CHECK(noticed > stored.size() - 40); // not those of the table
  }

  TEST_CASE("table: a foreign one is refused") {
    const std::string stored = encode(noise().substr(0, 2 * kMiB + 5));
    const std::size_t table = stored.size() - (8 + 3 * 8 + 9);
    const auto read = [](const std::string& bytes) {
      StringFile file(bytes);
      return SeekTable::read(file, bytes.size());
    };
    const auto with = [&](std::size_t at, std::string_view bytes) {
      std::string copy = stored;
      copy.replace(at, bytes.size(), bytes);
      return copy;
    };
    using std::string_view_literals::operator""sv;
    const SeekTable good = read(stored).value();
    CHECK(good.frame_count() == 3);
    CHECK(good.content_size() == 2 * kMiB + 5);
    CHECK(good.frames_size() == table);

    const std::vector<std::pair<std::string_view, std::string>> cases{
        {"nothing", ""},
        {"too short", stored.substr(stored.size() - 16)},
        {"other magic at the end", with(stored.size() - 1, "x")},
        {"no frames", with(stored.size() - 9, "\0\0\0\0"sv)},
        {"one frame less", with(stored.size() - 9, "\2")},
        {"one frame more", with(stored.size() - 9, "\4")},
        {"very many frames", with(stored.size() - 9, "\xff\xff\xff\xff")},
        {"a reserved bit", with(stored.size() - 5, "\x04")},
        {"checksums that are not there", with(stored.size() - 5, "\x80")},
        {"other magic at the beginning", with(table, "x")},
        {"another size of the frame", with(table + 4, "x")},
        {"a stored size that is too small", with(table + 8, "\1")},
        {"a frame of too much content", with(table + 8 + 4 + 3, "\1")},
        {"bytes before it", "x" + stored},
        {"bytes behind it", stored + "x"},
    };
    for (const auto& [name, bytes] : cases) {
      CAPTURE(name);
      const auto found = read(bytes);
      REQUIRE_FALSE(found);
      CHECK(found.error().code == Errc::corrupt);
    }
  }

  TEST_CASE("table: an unused bit and checksums are of no interest") {
    std::string stored = encode(noise().substr(0, 1'000));
    stored[stored.size() - 5] = 3;
    CHECK(open(stored).content_size() == 1'000);
    // The same table with a checksum behind its entry.
    std::string table = stored.substr(stored.size() - 25);
    table[4] = static_cast<char>(table[4] + 4);
    table[table.size() - 5] = static_cast<char>(0x80);
    table.insert(16, "abcd");
    CHECK(open(stored.substr(0, stored.size() - 25) + table).content_size() == 1'000);
  }

  TEST_CASE("table: one that is larger than a first read") {
    const std::string content = noise().substr(0, 100);
    const std::string one = encode(content);
    const std::string frame = one.substr(0, one.size() - 25);
    const std::string entry = one.substr(frame.size() + 8, 8);
    constexpr std::size_t kFrames = 1'000;
    std::string stored;
    std::string entries;
    for (std::size_t i = 0; i < kFrames; ++i) {
      stored += frame;
      entries += entry;
    }
    stored += {'\x5e', '\x2a', '\x4d', '\x18', '\x49', '\x1f', 0, 0}; // 8'009
    stored += entries;
    stored += {'\xe8', '\x03', 0, 0, 0, '\xb1', '\xea', '\x92', '\x8f'};

    const SeekableZstdFile file = open(stored);

    CHECK(file.content_size() == kFrames * content.size());
    CHECK(range(stored, 99'950, 50) == content.substr(50));
    CHECK(decode(stored).size() == kFrames * content.size());
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
}
