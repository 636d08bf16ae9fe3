#include "support/artifact_builder.hpp"

#include "pkc/base/digest.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <stdexcept>

namespace pkc::test {

namespace {

constexpr std::size_t kBlockSize = 512;

struct CompressorDeleter {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using Compressor = std::unique_ptr<ZSTD_CCtx, CompressorDeleter>;

std::size_t checked(std::size_t code) {
  if (ZSTD_isError(code) != 0) {
    throw std::runtime_error(ZSTD_getErrorName(code));
  }
  return code;
}

Compressor make_compressor(ZstdStyle style) {
  Compressor compressor(ZSTD_createCCtx());
  checked(ZSTD_CCtx_setParameter(compressor.get(), ZSTD_c_compressionLevel, style.level));
  checked(ZSTD_CCtx_setParameter(compressor.get(), ZSTD_c_checksumFlag, style.checksum ? 1 : 0));
  if (style.window_log != 0) {
    checked(ZSTD_CCtx_setParameter(compressor.get(), ZSTD_c_windowLog, style.window_log));
  }
  return compressor;
}

void compress_piece(ZSTD_CCtx* compressor,
                    std::string_view piece,
                    ZSTD_EndDirective mode,
                    std::string& out) {
  ZSTD_inBuffer input{.src = piece.data(), .size = piece.size(), .pos = 0};
  std::size_t left = 0;
  do {
    std::array<char, 16384> buffer{};
    ZSTD_outBuffer output{.dst = buffer.data(), .size = buffer.size(), .pos = 0};
    left = checked(ZSTD_compressStream2(compressor, &output, &input, mode));
    out.append(buffer.data(), output.pos);
  } while (mode == ZSTD_e_end ? left != 0 : input.pos != input.size);
}

void put(std::string& block, std::size_t offset, std::string_view value) {
  std::ranges::copy(value, block.begin() + static_cast<std::ptrdiff_t>(offset));
}

std::string octal(std::uint64_t value, std::size_t digits) {
  std::string text(digits, '0');
  for (std::size_t i = digits; i > 0; --i) {
    text[i - 1] = static_cast<char>('0' + static_cast<int>(value % 8));
    value /= 8;
  }
  return text;
}

std::string checksum_field(const std::string& block, TarChecksum style) {
  std::uint64_t sum = 0;
  std::int64_t signed_sum = 0;
  for (const char c : block) {
    sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  switch (style) {
    case TarChecksum::seven_digits:
      return octal(sum, 7) + '\0';
    case TarChecksum::six_digits:
      return octal(sum, 6) + std::string("\0 ", 2);
    case TarChecksum::signed_sum:
      return octal(static_cast<std::uint64_t>(signed_sum), 6) + std::string("\0 ", 2);
    case TarChecksum::wrong:
      return octal(sum + 1, 7) + '\0';
    case TarChecksum::blank:
      return std::string(8, ' ');
  }
  throw std::logic_error("unknown checksum style");
}

} // namespace

std::string tar_member(const TarMember& member) {
  std::string block(kBlockSize, '\0');
  put(block, 0, std::string_view(member.path).substr(0, 100));
  for (const std::size_t offset : {100U, 108U, 116U}) {
    put(block, offset, std::string_view(member.mode).substr(0, 8));
  }
  put(block, 124, member.size_field.value_or(octal(member.content.size(), 11)).substr(0, 12));
  put(block, 136, "00000000000");
  put(block, 148, "        ");
  block[156] = member.type;
  put(block, 157, std::string_view(member.link).substr(0, 100));
  put(block, 257, member.magic);
  put(block, 345, std::string_view(member.prefix).substr(0, 155));
  put(block, 148, checksum_field(block, member.checksum));
  const std::size_t padding = (kBlockSize - member.content.size() % kBlockSize) % kBlockSize;
  return block + member.content + std::string(padding, '\0');
}

std::string tar_file(std::string path, std::string content) {
  TarMember member;
  member.path = std::move(path);
  member.content = std::move(content);
  return tar_member(member);
}

std::string tar_end() {
  return std::string(2 * kBlockSize, '\0');
}

std::string gnu_long_name(std::string_view name, char type) {
  TarMember member;
  member.path = "././@LongLink";
  member.content = std::string(name) + '\0';
  member.type = type;
  return tar_member(member);
}

std::string pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) {
    ++length;
  }
  return std::to_string(length) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

std::string pax_header(std::string records, char type) {
  TarMember member;
  member.path = "PaxHeaders/0";
  member.content = std::move(records);
  member.type = type;
  member.magic = kUstarMagic;
  return tar_member(member);
}

std::string zstd_frame(std::string_view content, ZstdStyle style) {
  const Compressor compressor = make_compressor(style);
  std::string out;
  if (style.content_size) {
    checked(ZSTD_CCtx_setPledgedSrcSize(compressor.get(), content.size()));
  }
  // In two steps: given all at once, libzstd would write the content size by itself.
  compress_piece(compressor.get(), content, ZSTD_e_continue, out);
  compress_piece(compressor.get(), {}, ZSTD_e_end, out);
  return out;
}

std::string zstd_zeros(std::uint64_t size, ZstdStyle style) {
  const Compressor compressor = make_compressor(style);
  const std::string zeros(1 << 20, '\0');
  std::string out;
  for (std::uint64_t left = size; left > 0;) {
    const std::uint64_t piece = std::min<std::uint64_t>(left, zeros.size());
    compress_piece(compressor.get(),
                   std::string_view(zeros).substr(0, static_cast<std::size_t>(piece)),
                   ZSTD_e_continue,
                   out);
    left -= piece;
  }
  compress_piece(compressor.get(), {}, ZSTD_e_end, out);
  return out;
}

std::string zstd_skippable(std::string_view payload, unsigned variant) {
  std::string out;
  const auto append_number = [&out](std::uint32_t value) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
      out += static_cast<char>(value >> shift & 0xFFU);
    }
  };
  append_number(0x184D2A50U + (variant & 15U));
  append_number(static_cast<std::uint32_t>(payload.size()));
  return out.append(payload);
}

std::string json_text(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c >= 0 && c < ' ') {
      out += "\\u00";
      out += kHex[static_cast<std::size_t>(c) >> 4U];
      out += kHex[static_cast<std::size_t>(c) & 15U];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string metadata_json(std::string_view key) {
  return R"({"package_name":"pkg","task_name":"build","command":"echo hello","cache_key_hash":)" +
         json_text(key) + R"(,"created_at":1795175916,"version":1})";
}

std::string manifest_json(const NamedFiles& files, std::optional<std::uint64_t> total_size) {
  std::string listed;
  std::uint64_t total = 0;
  for (const auto& [path, content] : files) {
    listed += listed.empty() ? "" : ",";
    listed += json_text(path) + ":\"" + sha256(as_bytes(content)).hex() + "\"";
    total += content.size();
  }
  return "{\"files\":{" + listed +
         "},\"total_size\":" + std::to_string(total_size.value_or(total)) + "}";
}

std::string artifact_tar(const ArtifactParts& parts) {
  std::string tar = tar_file("metadata.json", parts.metadata.value_or(metadata_json(parts.key)));
  tar += tar_file("manifest.json", parts.manifest.value_or(manifest_json(parts.files)));
  for (const auto& [path, content] : parts.files) {
    tar += tar_file("outputs/" + path, content);
  }
  return tar + parts.extra + tar_end();
}

std::string artifact_body(const ArtifactParts& parts, ZstdStyle style) {
  return zstd_frame(artifact_tar(parts), style);
}

} // namespace pkc::test
