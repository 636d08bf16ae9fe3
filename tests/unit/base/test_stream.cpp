#include "pkc/base/stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using pkc::ByteSpan;
using pkc::Errc;
using pkc::Result;

namespace {

class TextSource final : public pkc::ByteSource {
 public:
  TextSource(std::string text, std::size_t piece) : text_(std::move(text)), piece_(piece) {}
  Result<std::size_t> read(pkc::MutableByteSpan buffer) override {
    const std::size_t count = std::min({buffer.size(), piece_, text_.size() - at_});
    std::ranges::copy(pkc::as_bytes(text_).subspan(at_, count), buffer.begin());
    at_ += count;
    return count;
  }

 private:
  std::string text_;
  std::size_t piece_;
  std::size_t at_ = 0;
};

class TextSink final : public pkc::ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    text += pkc::as_text(bytes);
    return {};
  }
  std::string text;
};

} // namespace

TEST_SUITE("base::copy_stream") {
  TEST_CASE("copy: moves everything, in whatever pieces it comes") {
    const std::string content(200'000, 'x');
    TextSource source(content, 777);
    TextSink sink;
    CHECK(pkc::copy_stream(source, sink).value() == content.size());
    CHECK(sink.text == content);
  }

  TEST_CASE("copy: exactly the limit passes, one more byte is too large") {
    TextSink sink;
    TextSource exact("12345", 2);
    CHECK(pkc::copy_stream(exact, sink, 5).value() == 5);
    TextSource longer("123456", 2);
    const auto copied = pkc::copy_stream(longer, sink, 5);
    REQUIRE_FALSE(copied);
    CHECK(copied.error().code == Errc::too_large);
  }
}
