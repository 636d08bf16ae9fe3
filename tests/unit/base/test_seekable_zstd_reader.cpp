#include "seekable_content.hpp"

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
using pkc::test::decode;
using pkc::test::encode;
using pkc::test::kBlock;
using pkc::test::Kind;
using pkc::test::make_content;
using pkc::test::noise;
using pkc::test::open;
using pkc::test::prose;
using pkc::test::range;
using pkc::test::read_all;
using pkc::test::StringFile;
using pkc::test::StringSink;
using pkc::test::StringSource;

TEST_SUITE("base::SeekableZstdFile") {
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
      CHECK(piece.length > 0);
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

  TEST_CASE("raw_runs: all of the content, or nothing") {
    const std::string content = noise().substr(0, kMiB + 200'000);
    const std::string stored = encode(content);
    const auto runs = open(stored).raw_runs(10).value().value();
    CHECK(runs.size() == 10);
    std::string found;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const std::size_t end = i + 1 < runs.size() ? runs[i + 1].content_begin : content.size();
      found += stored.substr(runs[i].file_begin, end - runs[i].content_begin);
    }
    CHECK((found == content));
    CHECK_FALSE(open(stored).raw_runs(9).value());
    CHECK_FALSE(open(encode(content + prose().substr(0, kMiB))).raw_runs(100).value());
    CHECK(open(encode("")).raw_runs(0).value().value().empty());
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
        CHECK_FALSE(failed_); // nobody may read on after an error
        TRY_ASSIGN(const std::size_t count, source_.read(buffer));
        failed_ = count == 0;
        return count > 0 ? Result<std::size_t>(count) : pkc::fail(Errc::corrupt, "wrong digest");
      }

     private:
      StringSource source_;
      bool failed_ = false;
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
    const std::size_t table = stored.size() - (8 + 4 * 8 + 9);
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
    CHECK(good.frame_count() == 4); // the padding is one
    CHECK(good.content_size() == 2 * kMiB + 5);
    CHECK(good.frames_size() == table);

    const std::vector<std::pair<std::string_view, std::string>> cases{
        {"nothing", ""},
        {"too short", stored.substr(stored.size() - 16)},
        {"other magic at the end", with(stored.size() - 1, "x")},
        {"no frames", with(stored.size() - 9, "\0\0\0\0"sv)},
        {"one frame less", with(stored.size() - 9, "\3")},
        {"one frame more", with(stored.size() - 9, "\5")},
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
}
