#include "pkc/base/http_chunked.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/http_text.hpp"

#include <algorithm>
#include <cstring>

namespace pkc {

namespace {

constexpr std::size_t kDigitsMax = 15; ///< no overflow, and no run of zeros without end
constexpr std::size_t kDroppedMax = 8 * kKiB;

} // namespace

void ChunkedDecoder::skip_data(ByteCount count) {
  PKC_ASSERT(count <= data_left());
  size_ -= count;
  if (size_ == 0) {
    state_ = State::data_cr;
  }
}

bool ChunkedDecoder::accept_size(char c) {
  if (const int digit = hex_digit(c); digit >= 0 && digits_ < kDigitsMax) {
    size_ = size_ * 16 + static_cast<ByteCount>(digit);
    ++digits_;
    state_ = State::size;
    return true;
  }
  if (digits_ == 0) {
    return false;
  }
  if (c == '\r') {
    state_ = State::size_lf;
    return true;
  }
  if (c == ';') {
    state_ = State::extension;
    return true;
  }
  state_ = State::padding;
  return c == ' ' || c == '\t';
}

bool ChunkedDecoder::accept_dropped(char c, State at_cr) {
  if (c == '\r') {
    state_ = at_cr;
    return true;
  }
  const bool printable = c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != '\x7f');
  return printable && ++dropped_ <= kDroppedMax;
}

bool ChunkedDecoder::accept(char c) {
  switch (state_) {
    case State::size_start:
      size_ = 0;
      digits_ = 0;
      return accept_size(c);
    case State::size:
      return accept_size(c);
    case State::padding:
      if (c == ';') {
        state_ = State::extension;
        return true;
      }
      return (c == ' ' || c == '\t') && ++dropped_ <= kDroppedMax;
    case State::extension:
      return accept_dropped(c, State::size_lf);
    case State::size_lf:
      state_ = size_ == 0 ? State::trailer_start : State::data;
      return c == '\n';
    case State::data_cr:
      state_ = State::data_lf;
      return c == '\r';
    case State::data_lf:
      state_ = State::size_start;
      return c == '\n';
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::end_lf;
        return true;
      }
      state_ = State::trailer;
      return accept_dropped(c, State::trailer_lf);
    case State::trailer:
      return accept_dropped(c, State::trailer_lf);
    case State::trailer_lf:
      state_ = State::trailer_start;
      return c == '\n';
    case State::end_lf:
      state_ = State::done;
      return c == '\n';
    case State::data:
    case State::done:
      break;
  }
  return false;
}

Result<ChunkedDecoder::Progress> ChunkedDecoder::decode(std::string_view input,
                                                        MutableByteSpan output) {
  Progress progress;
  while (progress.consumed < input.size() && !done()) {
    if (state_ != State::data) {
      if (!accept(input[progress.consumed])) {
        return fail(Errc::unavailable, "malformed chunked coding");
      }
      ++progress.consumed;
      continue;
    }
    const std::size_t room = output.size() - progress.produced;
    if (room == 0) {
      break;
    }
    const auto count = std::min<ByteCount>({size_, room, input.size() - progress.consumed});
    std::memcpy(output.data() + progress.produced, input.data() + progress.consumed, count);
    progress.consumed += count;
    progress.produced += count;
    skip_data(count);
  }
  return progress;
}

} // namespace pkc
