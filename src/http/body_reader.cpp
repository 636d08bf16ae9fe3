#include "body_reader.hpp"

#include "throttle.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <cstring>

namespace pkc::http {

namespace {

/// Chunk lines are read through the connection's buffer in pieces of this size.
constexpr std::size_t kChunkBufferSize = 16 * kKiB;

} // namespace

BodyReader::BodyReader(Connection& connection,
                       const Head& head,
                       const Pace& pace,
                       UploadLimit& paced)
    : connection_(connection), pace_(pace), paced_(paced) {
  if (!head.chunked) {
    length_ = left_ = head.content_length.value_or(0);
  }
  continue_pending_ = head.expects_continue && !at_end();
}

BodyReader::~BodyReader() {
  end_pace();
}

void BodyReader::end_pace() {
  if (throttle_ && !place_) {
    throttle_->give_back(*length_ - received_);
  }
  throttle_.reset();
  place_ = {};
}

bool BodyReader::pace(const std::shared_ptr<Throttle>& throttle) {
  PKC_ASSERT(received_ == 0 && !throttle_);
  if (at_end()) {
    return true;
  }
  if (!length_ || !throttle->try_pass(*length_, pace_.now())) {
    place_ = paced_.try_take();
    if (!place_) {
      return false;
    }
  }
  throttle_ = throttle;
  return true;
}

bool BodyReader::at_end() const {
  if (failure_) {
    return false;
  }
  return length_ ? left_ == 0 : decoder_.done();
}

std::optional<ByteCount> BodyReader::bytes_left() const {
  if (at_end()) {
    return 0;
  }
  return failure_ || !length_ ? std::nullopt : std::optional(left_);
}

Result<std::size_t> BodyReader::read(MutableByteSpan buffer) {
  PKC_ASSERT(!buffer.empty());
  if (failure_) {
    return std::unexpected(*failure_);
  }
  Result<std::size_t> count = place_ ? read_in_turn(buffer) : read_some(buffer);
  if (count) {
    received_ += *count;
  } else {
    failure_ = count.error();
  }
  return count;
}

Result<void> BodyReader::invite() {
  if (continue_pending_) {
    TRY(connection_.socket.send_all(as_bytes("HTTP/1.1 100 Continue\r\n\r\n"), More::no, pace_));
    continue_pending_ = false;
  }
  return {};
}

Result<std::size_t> BodyReader::read_in_turn(MutableByteSpan buffer) {
  if (at_end()) {
    return 0;
  }
  TRY(invite()); // what it sends meanwhile waits in the kernel
  const ByteCount left = std::min<ByteCount>(buffer.size(), length_ ? left_ : buffer.size());
  const Throttle::Turn turn = throttle_->next_turn(left, pace_.now());
  TRY(connection_.socket.pause_until(turn.when, pace_));
  TRY_ASSIGN(const std::size_t count,
             read_some(buffer.first(static_cast<std::size_t>(turn.bytes))));
  throttle_->give_back(turn.bytes - count);
  return count;
}

Result<std::size_t> BodyReader::read_some(MutableByteSpan buffer) {
  if (at_end()) {
    return 0;
  }
  TRY(invite());
  return length_ ? read_sized(buffer) : read_chunked(buffer);
}

Result<std::size_t> BodyReader::read_sized(MutableByteSpan buffer) {
  buffer = buffer.first(static_cast<std::size_t>(std::min<ByteCount>(buffer.size(), left_)));
  const std::string_view buffered = connection_.input.text();
  if (!buffered.empty()) {
    const std::size_t count = std::min(buffered.size(), buffer.size());
    std::memcpy(buffer.data(), buffered.data(), count);
    connection_.input.consume(count);
    left_ -= count;
    return count;
  }
  TRY_ASSIGN(const std::size_t count, receive(buffer));
  left_ -= count;
  return count;
}

Result<std::size_t> BodyReader::read_chunked(MutableByteSpan buffer) {
  InputBuffer& input = connection_.input;
  for (;;) {
    if (input.empty() && decoder_.data_left() > 0) { // inside a large chunk: no copy
      const auto want =
          static_cast<std::size_t>(std::min<ByteCount>(buffer.size(), decoder_.data_left()));
      TRY_ASSIGN(const std::size_t count, receive(buffer.first(want)));
      decoder_.skip_data(count);
      return count;
    }
    if (input.empty()) {
      TRY_ASSIGN(const std::size_t count, receive(input.room(kChunkBufferSize)));
      input.commit(count);
    }
    TRY_ASSIGN(const ChunkedDecoder::Progress progress, decoder_.decode(input.text(), buffer));
    input.consume(progress.consumed);
    if (progress.produced > 0 || decoder_.done()) {
      return progress.produced;
    }
  }
}

Result<std::size_t> BodyReader::receive(MutableByteSpan buffer) {
  TRY_ASSIGN(const std::size_t count, connection_.socket.receive(buffer, pace_));
  if (count == 0) {
    return fail(Errc::unavailable, "the client closed the connection inside the body");
  }
  return count;
}

} // namespace pkc::http
