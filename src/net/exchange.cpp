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

Result<void> give(std::string_view piece, ByteSink& sink) {
  return piece.empty() ? Result<void>{} : sink.write(as_bytes(piece));
}

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
             connection_.read(MutableByteSpan(buffer_).subspan(end_),
                              patience_,
                              limits_.idle,
                              lull_ ? &*lull_ : nullptr));
  end_ += got;
  answered_ = answered_ || got > 0;
  return got > 0;
}

Result<void> Exchange::need_input(std::string_view where) {
  if (begin_ != end_) {
    return {};
  }
  TRY_ASSIGN(const bool more, fill());
  return more ? Result<void>{}
              : fail(Errc::unavailable, "the connection was closed " + std::string(where));
}

Result<void> Exchange::read_line(std::string& head) {
  for (;;) {
    TRY(need_input(answered_ ? "in the head of the answer" : "without an answer"));
    const std::size_t newline = rest().find('\n');
    const bool line_ends = newline != std::string_view::npos;
    const std::string_view piece = rest().substr(0, line_ends ? newline + 1 : newline);
    head += piece;
    begin_ += piece.size();
    if (head.size() > limits_.head_size_max) {
      return fail(Errc::unavailable, "the head of the answer is too long");
    }
    if (line_ends) {
      return {};
    }
  }
}

Result<std::string> Exchange::read_head_text() {
  std::string head;
  for (;;) {
    const std::size_t line_begin = head.size();
    TRY(read_line(head));
    const std::string_view line = std::string_view(head).substr(line_begin);
    if (line_begin > 0 && (line == "\r\n" || line == "\n")) {
      return head;
    }
  }
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
    TRY(need_input("in the body"));
    const std::string_view piece = rest().substr(0, std::min<ByteCount>(length, rest().size()));
    begin_ += piece.size();
    length -= piece.size();
    TRY(give(piece, sink));
  }
  return {};
}

Result<void> Exchange::read_chunked(ByteSink& sink) {
  ChunkedDecoder decoder;
  std::vector<std::byte> decoded(kStreamBufferSize);
  while (!decoder.done()) {
    TRY(need_input("in the body"));
    TRY_ASSIGN(const auto progress, decoder.decode(rest(), decoded));
    begin_ += progress.consumed;
    TRY(give(as_text(ByteSpan(decoded).first(progress.produced)), sink));
  }
  return {};
}

Result<void> Exchange::read_to_close(ByteSink& sink) {
  for (bool more = true; more;) {
    const std::string_view piece = rest();
    begin_ = end_;
    TRY(give(piece, sink));
    TRY_ASSIGN(more, fill());
  }
  return {};
}

} // namespace pkc::net
