// Content of every kind and size for the tests of seekable zstd, and both ways through it.
#pragma once

#include "pkc/base/seekable_zstd.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::test {

inline constexpr ByteCount kBlock = 128 * kKiB;

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

inline std::string random_text(std::size_t size, std::uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  std::ranges::generate(text, [&] { return static_cast<char>(random()); });
  return text;
}

inline std::string lines(std::size_t size) {
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
inline constexpr std::array kKinds{Kind::incompressible,
                                   Kind::compressible,
                                   Kind::mixed,
                                   Kind::sample_lies_low,
                                   Kind::sample_lies_high};

inline constexpr std::size_t kLargest = 4 * kMiB + 300'000;

inline const std::string& noise() {
  static const std::string text = random_text(kLargest);
  return text;
}

inline const std::string& prose() {
  static const std::string text = lines(kLargest);
  return text;
}

inline std::string make_largest(Kind kind) {
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
inline std::string make_content(Kind kind, std::size_t size) {
  static std::map<Kind, std::string> made;
  std::string& largest = made[kind];
  if (largest.empty()) {
    largest = make_largest(kind);
  }
  return largest.substr(0, size);
}

inline std::string encode(std::string_view content, std::size_t piece = 50'000) {
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

inline std::string decode(std::string_view stored) {
  ZstdContextPool pool;
  StringSink sink;
  pkc::ZstdDecoder decoder(sink, pool, {.window_log_max = 20});
  REQUIRE(decoder.write(as_bytes(stored)));
  REQUIRE(decoder.finish());
  return sink.text;
}

inline Result<std::string> read_all(pkc::ByteSource& source, std::size_t piece = 10'000) {
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

inline SeekableZstdFile open(const std::string& stored) {
  return SeekableZstdFile::open(std::make_shared<StringFile>(stored), stored.size()).value();
}

inline std::string range(const std::string& stored, ByteCount offset, ByteCount length) {
  ZstdContextPool pool;
  return read_all(*open(stored).content(offset, length, pool)).value();
}

/// Sizes at both sides of every boundary.
inline const std::vector<std::size_t> kSizes = [] {
  std::vector<std::size_t> sizes{0, 1, 2, 100};
  for (const std::size_t edge : {64 * kKiB, 128 * kKiB, 256 * kKiB, kMiB, 2 * kMiB}) {
    for (const std::size_t size : {edge - 1, edge, edge + 1}) {
      sizes.push_back(size);
    }
  }
  sizes.push_back(3 * kMiB + 300'000);
  return sizes;
}();

} // namespace pkc::test
