#include "polykit/tar_reader.hpp"
#include "support/artifact_builder.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::protocols::polykit {
namespace {

using test::gnu_long_name;
using test::pax_header;
using test::pax_record;
using test::tar_end;
using test::tar_file;
using test::tar_member;
using test::TarChecksum;
using test::TarMember;

/// Writes each member as a line: type path[->link]=content.
class Lister : public TarVisitor {
 public:
  Result<void> begin_entry(const TarEntry& entry) override {
    CHECK_FALSE(inside_);
    inside_ = true;
    expected_ = entry.size;
    constexpr std::string_view kLetters = "fhscbdp?";
    text += kLetters.at(static_cast<std::size_t>(entry.type));
    text += " " + entry.path + (entry.link_target.empty() ? "" : "->" + entry.link_target) + "=";
    return {};
  }
  Result<void> entry_data(ByteSpan bytes) override {
    CHECK(inside_);
    CHECK(bytes.size() <= expected_);
    expected_ -= bytes.size();
    text += as_text(bytes);
    return {};
  }
  Result<void> end_entry() override {
    CHECK(expected_ == 0);
    inside_ = false;
    text += "\n";
    return {};
  }
  std::string text;

 private:
  bool inside_ = false;
  ByteCount expected_ = 0;
};

Result<std::string> list(std::string_view tar, std::size_t step = ~std::size_t{0}) {
  Lister lister;
  TarReader reader(lister);
  while (!tar.empty()) {
    const std::string_view piece = tar.substr(0, step);
    TRY(reader.write(as_bytes(piece)));
    tar.remove_prefix(piece.size());
  }
  TRY(reader.finish());
  return std::move(lister.text);
}

/// A member with the fields that a row of a table changes.
template <typename Change>
std::string changed(Change change) {
  TarMember member{.path = "a", .content = "abc"};
  change(member);
  return tar_member(member);
}

std::string base256(std::uint64_t value, char first = '\x80') {
  std::string field(12, '\0');
  field[0] = first;
  for (std::size_t i = 11; i >= 4; --i) {
    field[i] = static_cast<char>(value & 0xFFU);
    value >>= 8U;
  }
  return field;
}

struct Accepted {
  const char* name;
  std::string tar;
  std::string listing;
};

struct Refused {
  const char* name;
  std::string tar;
  std::string message;
  Errc code = Errc::invalid_argument;
};

void check_rows(const std::vector<Accepted>& rows) {
  for (const auto& [name, tar, listing] : rows) {
    CAPTURE(name);
    const auto whole = list(tar);
    REQUIRE_MESSAGE(whole.has_value(), whole.error().message);
    CHECK(*whole == listing);
    CHECK(list(tar, 1).value() == listing);
    CHECK(list(tar, 511).value() == listing);
  }
}

void check_rows(const std::vector<Refused>& rows) {
  for (const auto& [name, tar, message, code] : rows) {
    CAPTURE(name);
    for (const std::size_t step : {std::size_t{1}, std::size_t{512}, tar.size() + 1}) {
      const auto listing = list(tar, step);
      REQUIRE_FALSE(listing.has_value());
      CHECK(listing.error().message == message);
      CHECK(listing.error().code == code);
    }
  }
}

const std::string kLongPath = "outputs/" + std::string(300, 'n') + "/file";

TEST_SUITE("protocols::polykit::TarReader") {
  TEST_CASE("write: dialects of headers and numbers are understood") {
    check_rows(std::vector<Accepted>{
        {"the client's dialect", tar_file("a", "abc") + tar_end(), "f a=abc\n"},
        {"content of whole blocks",
         tar_file("a", std::string(1024, 'x')) + tar_end(),
         "f a=" + std::string(1024, 'x') + "\n"},
        {"empty file", tar_file("a", "") + tar_file("b", "x") + tar_end(), "f a=\nf b=x\n"},
        {"v7", changed([](auto& m) { m.magic = test::kOldMagic; }), "f a=abc\n"},
        {"ustar", changed([](auto& m) { m.magic = test::kUstarMagic; }), "f a=abc\n"},
        {"ustar with prefix",
         changed([](auto& m) {
           m.magic = test::kUstarMagic;
           m.prefix = "some/where";
         }),
         "f some/where/a=abc\n"},
        {"GNU keeps times in the prefix",
         changed([](auto& m) { m.prefix = "14512345670"; }),
         "f a=abc\n"},
        {"typeflag 0", changed([](auto& m) { m.type = '0'; }), "f a=abc\n"},
        {"contiguous file", changed([](auto& m) { m.type = '7'; }), "f a=abc\n"},
        {"usual mode, uid, gid",
         changed([](auto& m) { m.mode = std::string("0000644", 8); }),
         "f a=abc\n"},
        {"name of 100 bytes",
         changed([](auto& m) { m.path = std::string(100, 'n'); }),
         "f " + std::string(100, 'n') + "=abc\n"},
        {"six-digit checksum",
         changed([](auto& m) { m.checksum = TarChecksum::six_digits; }),
         "f a=abc\n"},
        {"signed checksum",
         changed([](auto& m) {
           m.path = "\xC3\xA4";
           m.checksum = TarChecksum::signed_sum;
         }),
         "f \xC3\xA4=abc\n"},
        {"unsigned checksum of the same name",
         changed([](auto& m) { m.path = "\xC3\xA4"; }),
         "f \xC3\xA4=abc\n"},
        {"size padded with blanks",
         changed([](auto& m) { m.size_field = "         3  "; }),
         "f a=abc\n"},
        {"size of twelve digits",
         changed([](auto& m) { m.size_field = "000000000003"; }),
         "f a=abc\n"},
        {"size with rubbish after its NUL",
         changed([](auto& m) { m.size_field = std::string("3\0junk", 6); }),
         "f a=abc\n"},
        {"empty size", tar_member({.path = "a", .size_field = ""}), "f a=\n"},
        {"blank size", tar_member({.path = "a", .size_field = std::string(12, ' ')}), "f a=\n"},
        {"base-256 size", changed([](auto& m) { m.size_field = base256(3); }), "f a=abc\n"},
        {"links and devices",
         tar_member({.path = "h", .type = '1', .link = "a"}) +
             tar_member({.path = "s", .type = '2', .link = "/etc"}) +
             tar_member({.path = "c", .type = '3'}) + tar_member({.path = "b", .type = '4'}) +
             tar_member({.path = "d/", .type = '5'}) + tar_member({.path = "p", .type = '6'}) +
             tar_member({.path = "v", .type = 'V'}),
         "h h->a=\ns s->/etc=\nc c=\nb b=\nd d/=\np p=\n? v=\n"},
        {"directory before ustar", tar_member({.path = "d/", .magic = test::kOldMagic}), "d d/=\n"},
    });
  }

  TEST_CASE("write: an archive ends with a block of zeros, or without one") {
    check_rows(std::vector<Accepted>{
        {"nothing at all", "", ""},
        {"only zeros", tar_end(), ""},
        {"no end blocks", tar_file("a", "abc"), "f a=abc\n"},
        {"one end block", tar_file("a", "abc") + std::string(512, '\0'), "f a=abc\n"},
        {"half an end block after the first",
         tar_file("a", "abc") + std::string(700, '\0'),
         "f a=abc\n"},
        {"anything after the end",
         tar_file("a", "abc") + tar_end() + "junk" + tar_file("b", "x"),
         "f a=abc\n"},
    });
  }

  TEST_CASE("write: long names of GNU tar and pax are applied to the next member only") {
    check_rows(std::vector<Accepted>{
        {"GNU long name",
         gnu_long_name(kLongPath) + tar_file("cut", "x") + tar_file("b", "y"),
         "f " + kLongPath + "=x\nf b=y\n"},
        {"GNU long link",
         gnu_long_name("target", 'K') + tar_member({.path = "s", .type = '2', .link = "cut"}),
         "s s->target=\n"},
        {"GNU long link and name",
         gnu_long_name("target", 'K') + gnu_long_name("name") +
             tar_member({.path = "s", .type = '2'}),
         "s name->target=\n"},
        {"long name without a NUL",
         tar_member({.path = "L", .content = "long/name", .type = 'L'}) + tar_file("cut", "x"),
         "f long/name=x\n"},
        {"long name of a directory",
         gnu_long_name("long/name/") + tar_member({.path = "cut", .type = '5'}),
         "d long/name/=\n"},
        {"v7 knows no long names",
         tar_member({.path = "L", .content = "name", .type = 'L', .magic = test::kOldMagic}) +
             tar_file("b", "x"),
         "? L=name\nf b=x\n"},
        {"pax path",
         pax_header(pax_record("path", kLongPath)) + tar_file("cut", "x"),
         "f " + kLongPath + "=x\n"},
        {"pax path beats the prefix",
         pax_header(pax_record("path", "p")) +
             tar_member({.path = "a", .magic = test::kUstarMagic, .prefix = "dir"}),
         "f p=\n"},
        {"pax linkpath",
         pax_header(pax_record("linkpath", "t")) +
             tar_member({.path = "s", .type = '2', .link = "x"}),
         "s s->t=\n"},
        {"pax size for an empty header field",
         pax_header(pax_record("size", "3")) +
             changed([](auto& m) { m.size_field = "00000000000"; }) + tar_file("b", "x"),
         "f a=abc\nf b=x\n"},
        {"pax size that agrees",
         pax_header(pax_record("size", "3")) + tar_file("a", "abc"),
         "f a=abc\n"},
        {"other pax records",
         pax_header(pax_record("mtime", "1.5") + pax_record("comment", "") +
                    pax_record("SCHILY.xattr.user.x", "v=1")) +
             tar_file("a", "x"),
         "f a=x\n"},
        {"pax record lengths of two and three digits",
         pax_header(pax_record("c", std::string(91, 'x')) + pax_record("c", std::string(94, 'x')) +
                    pax_record("c", std::string(95, 'x')) + pax_record("path", "p")) +
             tar_file("a", "x"),
         "f p=x\n"},
        {"empty pax header", pax_header("") + tar_file("a", "x"), "f a=x\n"},
        {"global pax header",
         pax_header(pax_record("path", "no") + "not even a record", 'g') + tar_file("a", "x"),
         "f a=x\n"},
        {"large global pax header",
         pax_header(std::string(400'000, 'x'), 'g') + tar_file("a", "x"),
         "f a=x\n"},
    });
  }

  TEST_CASE("write: damaged headers are refused") {
    const std::string wrong_sum = "the tar archive has a header with a wrong checksum";
    const std::string wrong_size = "the tar archive has a header with a malformed size";
    check_rows(std::vector<Refused>{
        {"wrong checksum", changed([](auto& m) { m.checksum = TarChecksum::wrong; }), wrong_sum},
        {"blank checksum", changed([](auto& m) { m.checksum = TarChecksum::blank; }), wrong_sum},
        {"not a tar", std::string(512, 'x'), wrong_sum},
        {"size of letters", changed([](auto& m) { m.size_field = "0000000000x"; }), wrong_size},
        {"size with a nine", changed([](auto& m) { m.size_field = "00000000009"; }), wrong_size},
        {"size with a sign", changed([](auto& m) { m.size_field = "-0000000003"; }), wrong_size},
        {"two sizes", changed([](auto& m) { m.size_field = "3 3"; }), wrong_size},
        {"negative base-256 size",
         changed([](auto& m) { m.size_field = base256(3, '\xFF'); }),
         wrong_size},
        {"base-256 size beyond 64 bits",
         changed([](auto& m) { m.size_field = base256(3).replace(3, 1, "\x01"); }),
         wrong_size},
        {"GNU sparse member",
         changed([](auto& m) { m.type = 'S'; }),
         "the tar archive has a sparse member"},
        {"size beyond everything",
         changed([](auto& m) { m.size_field = base256(~std::uint64_t{0}); }),
         "the tar archive is cut short"},
    });
  }

  TEST_CASE("write: names and sizes that readers could understand differently are refused") {
    const std::string twice = "the tar archive describes one member twice";
    const std::string record = "the tar archive has a malformed pax record";
    const std::string dangling = "the tar archive ends where a named member should follow";
    const std::string file = tar_file("a", "abc");
    check_rows(std::vector<Refused>{
        {"two long names", gnu_long_name("x") + gnu_long_name("y") + file, twice},
        {"two long links", gnu_long_name("x", 'K') + gnu_long_name("y", 'K') + file, twice},
        {"two pax headers", pax_header("") + pax_header("") + file, twice},
        {"long name and pax",
         gnu_long_name("x") + pax_header(pax_record("path", "y")) + file,
         twice},
        {"pax and long name",
         pax_header(pax_record("path", "y")) + gnu_long_name("x") + file,
         twice},
        {"global header in between", pax_header("") + pax_header("", 'g') + file, twice},
        {"two pax paths",
         pax_header(pax_record("path", "x") + pax_record("path", "y")) + file,
         twice},
        {"long name with a NUL inside",
         gnu_long_name(std::string_view("a\0b", 3)) + file,
         "the tar archive has a malformed long name"},
        {"empty long name", gnu_long_name("") + file, "the tar archive has a malformed long name"},
        {"pax path with a NUL",
         pax_header(pax_record("path", std::string_view("a\0b", 3))) + file,
         "the tar archive has a malformed pax name"},
        {"empty pax path",
         pax_header(pax_record("path", "")) + file,
         "the tar archive has a malformed pax name"},
        {"pax size that contradicts",
         pax_header(pax_record("size", "2")) + file,
         "the tar archive has a member with two sizes"},
        {"pax size of letters",
         pax_header(pax_record("size", "3x")) + file,
         "the tar archive has a malformed pax size"},
        {"negative pax size",
         pax_header(pax_record("size", "-3")) + file,
         "the tar archive has a malformed pax size"},
        {"two pax sizes",
         pax_header(pax_record("size", "3") + pax_record("size", "3")) + file,
         "the tar archive has a malformed pax size"},
        {"pax record without a length", pax_header("path=x\n") + file, record},
        {"pax record longer than the header", pax_header("99 path=x\n") + file, record},
        {"pax record of huge length", pax_header("99999999999999999999 path=x\n") + file, record},
        {"pax record shorter than itself", pax_header("5 path=x\n") + file, record},
        {"pax record of length 0", pax_header("0 path=x\n") + file, record},
        {"pax record without a value", pax_header("8 path\n") + file, record},
        {"pax record without a key", pax_header(pax_record("", "x")) + file, record},
        {"pax record without its line break", pax_header("10 path=xx") + file, record},
        {"pax record that hides another",
         pax_header(pax_record("comment", "\n17 path=outputs/x")) + file,
         record},
        {"nothing after a long name", gnu_long_name("x"), dangling},
        {"end block after a long name", gnu_long_name("x") + tar_end(), dangling},
        {"end block after a pax header", pax_header("") + tar_end(), dangling},
    });
  }

  TEST_CASE("write: extended headers are bounded") {
    const std::string message = "the tar archive has an extended header beyond the limit";
    const std::string longest(kTarLongNameMax - 1, 'n');
    check_rows(std::vector<Accepted>{
        {"longest name", gnu_long_name(longest) + tar_file("a", ""), "f " + longest + "=\n"}});
    check_rows(std::vector<Refused>{
        {"name beyond", gnu_long_name(longest + "n"), message, Errc::too_large},
        {"pax beyond",
         pax_header(std::string(kTarPaxHeaderMax + 1, 'x')),
         message,
         Errc::too_large},
    });
  }

  TEST_CASE("finish: an archive that is cut anywhere but between members is refused") {
    const std::string tar = gnu_long_name("name") + tar_file("a", "abc") +
                            pax_header(pax_record("path", "p")) +
                            tar_file("b", std::string(600, 'x'));
    for (std::size_t size = 1; size < tar.size(); ++size) {
      CAPTURE(size);
      const bool between_members = size == 2048;
      CHECK(list(std::string_view(tar).substr(0, size)).has_value() == between_members);
    }
  }

  TEST_CASE("write: an error of the visitor ends the walk") {
    class Refuser : public TarVisitor {
     public:
      Result<void> begin_entry(const TarEntry& /*entry*/) override {
        return fail(Errc::conflict, "no");
      }
      Result<void> entry_data(ByteSpan /*bytes*/) override { return {}; }
      Result<void> end_entry() override { return {}; }
    };
    Refuser refuser;
    TarReader reader(refuser);

    const auto result = reader.write(as_bytes(tar_file("a", "abc")));

    REQUIRE_FALSE(result.has_value());
    CHECK(result.error().code == Errc::conflict);
  }
}

TEST_SUITE("test::tar_member") {
  TEST_CASE("header: bytes lie where the client of the original puts them") {
    const std::string block = tar_file("outputs/stdout.txt", "hello\n").substr(0, 512);
    std::string expected(512, '\0');
    expected.replace(0, 18, "outputs/stdout.txt");
    expected.replace(124, 11, "00000000006");
    expected.replace(136, 11, "00000000000");
    expected.replace(257, 7, "ustar  ");
    std::uint64_t sum = 8 * 32;
    for (const char c : expected) {
      sum += static_cast<unsigned char>(c);
    }
    std::string digits;
    for (unsigned shift = 21; shift > 0; shift -= 3) {
      digits += static_cast<char>('0' + static_cast<int>(sum >> (shift - 3) & 7U));
    }
    expected.replace(148, 7, digits);
    CHECK(block == expected);
  }
}

} // namespace
} // namespace pkc::protocols::polykit
