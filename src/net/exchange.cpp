#include "exchange.hpp"

#include "pkc/base/http_chunked.hpp"

#include <algorithm>
#include <cstring>
#include <span>

namespace pkc::net {

namespace {

constexpr int kSwitchingProtocols = 101;
constexpr int kFirstFinalStatus = 200;
constexpr int kInterimMax = 32; ///< a server that has more to say has nothing to say

} // namespace

Exchange::Exchange(Connection& connection, const Patience& patience, const ExchangeLimits& limits)
    : connection_(connection), patience_(patience), limits_(limits), buffer_(kStreamBufferSize) {}

std::string_view Exchange::rest() const {
  return as_text(ByteSpan(buffer_).subspan(begin_, end_ - begin_));
}

Result<bool> Exchange::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  TRY_ASSIGN(const std::size_t got,
             connection_.read(MutableByteSpan(buffer_).subspan(end_), patience_, limits_.idle));
  end_ += got;
  answered_ = answered_ || got > 0;
  return got > 0;
}

Result<void> Exchange::fill_or_fail(std::string_view what) {
  TRY_ASSIGN(const bool more, fill());
  return more ? Result<void>{} : fail(Errc::unavailable, std::string(what));
}

/// Up to the empty line, which is part of it.
Result<std::string> Exchange::read_head_text() {
  std::string head;
  for (bool line_is_empty = false; !line_is_empty;) {
    const std::size_t line_begin = head.size();
    for (bool line_ends = false; !line_ends;) {
      if (begin_ == end_) {
        TRY(fill_or_fail(answered_ ? "the connection broke off in the head of the answer"
                                   : "the connection was closed without an answer"));
      }
      const std::size_t newline = rest().find('\n');
      const std::string_view piece =
          rest().substr(0, newline == std::string_view::npos ? newline : newline + 1);
      head += piece;
      begin_ += piece.size();
      line_ends = newline != std::string_view::npos;
      if (head.size() > limits_.head_size_max) {
        return fail(Errc::unavailable, "the head of the answer is too long");
      }
    }
    const std::string_view line = std::string_view(head).substr(line_begin);
    line_is_empty = line_begin > 0 && (line == "\r\n" || line == "\n");
  }
  return head;
}

Result<ParsedHead> Exchange::ask(std::string_view request) {
  TRY(connection_.write(as_bytes(request), patience_, limits_.idle));
  for (int i = 0; i < kInterimMax; ++i) {
    TRY_ASSIGN(const std::string text, read_head_text());
    TRY_ASSIGN(ParsedHead head, parse_head(text, limits_.header_count_max));
    if (head.status == kSwitchingProtocols) {
      break;
    }
    if (head.status >= kFirstFinalStatus) {
      return head;
    }
  }
  return fail(Errc::unavailable, "no HTTP answer: interim answers only");
}

Result<void> Exchange::read_body(const Framing& framing, ByteSink& sink) {
  switch (framing.end) {
    case BodyEnd::none:
      return {};
    case BodyEnd::length:
      return read_counted(framing.length, sink);
    case BodyEnd::chunked:
      return read_chunked(sink);
    case BodyEnd::close:
      return read_to_close(sink);
  }
  std::unreachable();
}

Result<void> Exchange::read_counted(ByteCount length, ByteSink& sink) {
  while (length > 0) {
    if (begin_ == end_) {
      TRY(fill_or_fail("the connection broke off in the body"));
    }
    const std::string_view piece = rest().substr(0, std::min<ByteCount>(length, rest().size()));
    begin_ += piece.size();
    length -= piece.size();
    TRY(sink.write(as_bytes(piece)));
  }
  return {};
}

Result<void> Exchange::read_chunked(ByteSink& sink) {
  ChunkedDecoder decoder;
  std::vector<std::byte> decoded(kStreamBufferSize);
  while (!decoder.done()) {
    if (begin_ == end_) {
      TRY(fill_or_fail("the connection broke off in the body"));
    }
    TRY_ASSIGN(const auto progress, decoder.decode(rest(), decoded));
    begin_ += progress.consumed;
    if (progress.produced > 0) {
      TRY(sink.write(ByteSpan(decoded).first(progress.produced)));
    }
  }
  return {};
}

Result<void> Exchange::read_to_close(ByteSink& sink) {
  for (;;) {
    if (begin_ != end_) {
      const std::string_view piece = rest();
      begin_ = end_;
      TRY(sink.write(as_bytes(piece)));
    }
    TRY_ASSIGN(const bool more, fill());
    if (!more) {
      return {};
    }
  }
}

} // namespace pkc::net
