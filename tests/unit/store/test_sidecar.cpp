#include "pkc/store/sidecar.hpp"

#include <doctest/doctest.h>

#include <string>

using pkc::Errc;
using pkc::WallTime;
using pkc::store::format_sidecar;
using pkc::store::parse_sidecar;

namespace {

// As the original server 0.2.0 writes it.
const std::string kOriginal =
    R"({"hash":"bedc90ab0830c0e37b3c342198df9b05b1caf803567226cd28ddd3798aefe8db","size":394,)"
    R"("created_at":1795175916,"cache_key_hash":"aabbccddeeff00112233445566778899"})";

std::string with(std::string_view from, std::string_view to) {
  std::string text = kOriginal;
  return text.replace(text.find(from), from.size(), to);
}

} // namespace

TEST_SUITE("store::Sidecar") {
  TEST_CASE("parse: a sidecar of the original server") {
    const auto sidecar = parse_sidecar(kOriginal).value();
    CHECK(sidecar.size == 394);
    CHECK(sidecar.created_at == 1795175916);
    CHECK(sidecar.key == "aabbccddeeff00112233445566778899");
    CHECK(sidecar.hash.hex().starts_with("bedc90ab"));
    CHECK_FALSE(sidecar.stored_at);
  }

  TEST_CASE("format: begins with the four members of the original, in its order") {
    auto sidecar = parse_sidecar(kOriginal).value();
    sidecar.stored_at = WallTime(std::chrono::seconds(1'800'000'000));
    CHECK(format_sidecar(sidecar) ==
          kOriginal.substr(0, kOriginal.size() - 1) + R"(,"version":1,"stored_at":1800000000})");
  }

  TEST_CASE("parse: what format writes comes back") {
    auto sidecar = parse_sidecar(kOriginal).value();
    sidecar.stored_at = WallTime(std::chrono::seconds(1'800'000'000));
    sidecar.created_at = ~std::uint64_t{0};
    const auto again = parse_sidecar(format_sidecar(sidecar)).value();
    CHECK(again.stored_at == sidecar.stored_at);
    CHECK(again.created_at == sidecar.created_at);
    CHECK(format_sidecar(again) == format_sidecar(sidecar));
  }

  TEST_CASE("parse: unknown members are ignored, an absurd stored_at too") {
    CHECK(parse_sidecar(with("{", R"({"later":[1,{"x":2}],)")));
    CHECK_FALSE(parse_sidecar(with("{", R"({"stored_at":18446744073709551615,)"))->stored_at);
  }

  TEST_CASE("parse: every prefix of a sidecar is corrupt") {
    for (std::size_t size = 0; size < kOriginal.size(); ++size) {
      CAPTURE(size);
      const auto parsed = parse_sidecar(kOriginal.substr(0, size));
      REQUIRE_FALSE(parsed);
      CHECK(parsed.error().code == Errc::corrupt);
    }
  }

  TEST_CASE("parse: wrong types, bad digests, nesting and size are corrupt") {
    for (const std::string& text : {with("394", "\"394\""),
                                    with("394", "-394"),
                                    with("394", "394.5"),
                                    with("394", "null"),
                                    with("bedc90ab", "bedc90a"),
                                    with("bedc90ab", "xxxxxxxx"),
                                    with("1795175916", "[]"),
                                    with("\"size\"", "\"sizes\""),
                                    "[" + kOriginal + "]",
                                    kOriginal + kOriginal,
                                    std::string(100'000, '['),
                                    kOriginal + std::string(pkc::store::kSidecarSizeMax, ' ')}) {
      CAPTURE(text.substr(0, 200));
      CHECK_FALSE(parse_sidecar(text));
    }
  }

  TEST_CASE("content: what format writes comes back, with a type or without") {
    for (const std::string type : {"", "text/plain; charset=utf-8"}) {
      auto sidecar = parse_sidecar(kOriginal).value();
      sidecar.content = pkc::store::SidecarContent{
          .hash = pkc::sha256(pkc::as_bytes("content")), .size = 7, .type = type};
      const auto again = parse_sidecar(format_sidecar(sidecar)).value();
      REQUIRE(again.content);
      CHECK(again.content->hash == sidecar.content->hash);
      CHECK(again.content->size == 7);
      CHECK(again.content->type == type);
    }
  }

  TEST_CASE("content: of an encoding that we do not know, or in part, it is not told") {
    auto sidecar = parse_sidecar(kOriginal).value();
    CHECK_FALSE(sidecar.content);
    sidecar.content = pkc::store::SidecarContent{.hash = {}, .size = 7, .type = ""};
    const std::string text = format_sidecar(sidecar);
    const auto replaced = [&](std::string_view from, std::string_view to) {
      std::string other = text;
      return parse_sidecar(other.replace(other.find(from), from.size(), to)).value();
    };
    CHECK(parse_sidecar(text).value().content);
    CHECK_FALSE(replaced("zstd-seekable", "zstd-other").content);
    CHECK_FALSE(replaced("encoding", "coding").content);
    CHECK_FALSE(replaced("content_size", "size_of").content);
    CHECK_FALSE(replaced("content_hash", "hash_of").content);
    CHECK_FALSE(replaced(":7", ":-7").content);
  }

  TEST_CASE("content: a type that could not stand in a header is not told") {
    auto sidecar = parse_sidecar(kOriginal).value();
    sidecar.content = pkc::store::SidecarContent{.hash = {}, .size = 7, .type = "type"};
    std::string text = format_sidecar(sidecar);
    text.replace(text.find("\"type\""), 6, R"("a\r\nb")");
    CHECK(parse_sidecar(text).value().content->type.empty());
    CHECK(pkc::store::is_content_type(std::string(255, 'x')));
    CHECK_FALSE(pkc::store::is_content_type(std::string(256, 'x')));
    CHECK_FALSE(pkc::store::is_content_type("\x7f"));
    CHECK_FALSE(pkc::store::is_content_type("\xc3\xa4"));
  }
}
