#include "bench/upload.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/digest.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <random>
#include <ranges>
#include <string>

namespace pkc::bench {

namespace {

constexpr std::size_t kKeyLength = 64;
constexpr std::size_t kTarBlock = 512;
/// The largest block that RFC 8878 section 3.1.1.2.4 allows.
constexpr std::size_t kZstdBlockMax = 128 * kKiB;
constexpr std::string_view kHexDigits = "0123456789abcdef";

enum class BlockType : std::uint8_t {
  raw = 0,
  repeated = 1
};

/// splitmix64: enough to make distinct keys, cheap enough to make them while the clock runs.
std::uint64_t mix(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31U);
}

void append_octal(std::string& text, std::uint64_t value, std::size_t digits) {
  std::string octal(digits, '0');
  for (char& digit : std::views::reverse(octal)) {
    digit = static_cast<char>('0' + (value & 7U));
    value >>= 3U;
  }
  text += octal;
}

/// A header as the original's client writes it: GNU magic, mode, owner and type all NUL.
std::string tar_header(std::string_view name, ByteCount size) {
  constexpr std::size_t kSizeAt = 124;
  constexpr std::size_t kChecksumAt = 148;
  constexpr std::size_t kMagicAt = 257;
  std::string header(name);
  header.resize(kSizeAt);
  append_octal(header, size, 11);
  header += '\0';
  append_octal(header, 0, 11);
  header += '\0';
  header.append(8, ' ');
  header.resize(kMagicAt);
  header += "ustar  ";
  header.resize(kTarBlock);
  std::uint64_t sum = 0;
  for (const char character : header) {
    sum += static_cast<unsigned char>(character);
  }
  std::string checksum;
  append_octal(checksum, sum, 7);
  checksum += '\0';
  return header.replace(kChecksumAt, checksum.size(), checksum);
}

void append_tar_file(std::string& tar, std::string_view name, std::string_view content) {
  tar += tar_header(name, content.size());
  tar += content;
  tar.resize((tar.size() + kTarBlock - 1) / kTarBlock * kTarBlock);
}

void append_block_header(std::string& frame, BlockType type, std::size_t size, bool last) {
  const auto bits = static_cast<std::uint32_t>(size << 3U) |
                    (static_cast<std::uint32_t>(type) << 1U) | static_cast<std::uint32_t>(last);
  for (const unsigned shift : {0U, 8U, 16U}) {
    frame += static_cast<char>((bits >> shift) & 0xffU);
  }
}

std::string random_content(ByteCount size) {
  std::mt19937_64 generator(size); // a fixed seed: every run sends the same bytes
  std::string content(size, '\0');
  for (std::size_t at = 0; at < content.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = generator();
    for (std::size_t i = at; i < std::min(content.size(), at + sizeof word); ++i) {
      content[i] = static_cast<char>(word & 0xffU);
      word >>= 8U;
    }
  }
  return content;
}

} // namespace

std::string make_key(std::string_view prefix, std::uint64_t seed, std::uint64_t index) {
  std::string key(prefix);
  key += kHexDigits[(index >> 4U) & 0xfU];
  key += kHexDigits[index & 0xfU];
  std::uint64_t word = mix(seed) ^ index;
  while (key.size() < kKeyLength) {
    word = mix(word);
    for (unsigned shift = 0; shift < 64 && key.size() < kKeyLength; shift += 4) {
      key += kHexDigits[(word >> shift) & 0xfU];
    }
  }
  return key;
}

UploadTemplate::UploadTemplate(std::string_view host, ByteCount content_size) {
  const std::string content = random_content(content_size);
  const std::string any_key(kKeyLength, '0');
  const std::string metadata =
      R"({"package_name":"bench","task_name":"build","command":"true","cache_key_hash":")" +
      any_key + R"(","created_at":1700000000,"version":1})";
  const std::string manifest = R"({"files":{"stdout.txt":")" + sha256(as_bytes(content)).hex() +
                               R"("},"total_size":)" + std::to_string(content.size()) + "}";
  std::string tar;
  append_tar_file(tar, "metadata.json", metadata);
  append_tar_file(tar, "manifest.json", manifest);
  tar += tar_header("outputs/stdout.txt", content.size());

  // Magic number, then a frame header as the original's client makes it: no content size, no
  // checksum, window of 2 MiB.
  std::string body = "\x28\xb5\x2f\xfd";
  body += '\0';
  body += '\x58';
  append_block_header(body, BlockType::raw, tar.size(), false);
  body += tar;

  for (std::size_t at = 0; at < content.size(); at += kZstdBlockMax) {
    const std::string_view piece = std::string_view(content).substr(at, kZstdBlockMax);
    append_block_header(tail_, BlockType::raw, piece.size(), false);
    tail_ += piece;
  }
  const std::size_t padding = (kTarBlock - content.size() % kTarBlock) % kTarBlock;
  append_block_header(tail_, BlockType::repeated, padding + 2 * kTarBlock, true);
  tail_ += '\0';

  body_size_ = body.size() + tail_.size();
  head_ = "PUT /v1/artifacts/" + any_key + " HTTP/1.1\r\nHost: " + std::string(host) +
          "\r\nContent-Length: " + std::to_string(body_size_) + "\r\n\r\n" + body;
  key_in_target_ = head_.find(any_key);
  key_in_metadata_ = head_.find(any_key, key_in_target_ + kKeyLength);
  PKC_ASSERT(key_in_metadata_ != std::string::npos);
}

void UploadTemplate::render(std::string_view key, std::string& head) const {
  PKC_ASSERT(key.size() == kKeyLength);
  head = head_;
  head.replace(key_in_target_, kKeyLength, key);
  head.replace(key_in_metadata_, kKeyLength, key);
}

} // namespace pkc::bench
