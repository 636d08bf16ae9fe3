// BodyReader: the body of one request, from the connection.
#pragma once

#include "chunked.hpp"
#include "connection.hpp"
#include "head.hpp"
#include "upload_limit.hpp"

#include "pkc/http/message.hpp"

#include <memory>
#include <optional>

namespace pkc::http {

/// Reads by Content-Length or chunked coding; a request with neither has an empty body. Lives while
/// its request is served, on the thread that owns the connection.
class BodyReader final : public RequestBody {
 public:
  /// `paced`: the places of those who may wait for a throttle; outlives this.
  BodyReader(Connection& connection, const Head& head, const Pace& pace, UploadLimit& paced);
  BodyReader(const BodyReader&) = delete;
  BodyReader& operator=(const BodyReader&) = delete;
  BodyReader(BodyReader&&) = delete;
  BodyReader& operator=(BodyReader&&) = delete;
  ~BodyReader() override;

  Result<std::size_t> read(MutableByteSpan buffer) override;
  [[nodiscard]] std::optional<ByteCount> length() const override { return length_; }
  [[nodiscard]] bool pace(const std::shared_ptr<Throttle>& throttle) override;

  /// Gives back what the throttle allowed and was not read, and the place of who waits for it. To
  /// be called when the handler is done, before the client has its answer and comes again.
  void end_pace();

  /// Bytes of the body that were read.
  [[nodiscard]] ByteCount received() const { return received_; }
  /// Nothing of this request is left on the wire.
  [[nodiscard]] bool at_end() const;
  /// The client waits for "100 Continue" and has not got it.
  [[nodiscard]] bool continue_pending() const { return continue_pending_; }
  /// How many bytes are left on the wire; nothing when that cannot be known (chunked, or broken).
  [[nodiscard]] std::optional<ByteCount> bytes_left() const;

 private:
  Result<std::size_t> read_some(MutableByteSpan buffer);
  Result<void> invite();
  Result<std::size_t> read_in_turn(MutableByteSpan buffer);
  Result<std::size_t> read_sized(MutableByteSpan buffer);
  Result<std::size_t> read_chunked(MutableByteSpan buffer);
  Result<std::size_t> receive(MutableByteSpan buffer);

  Connection& connection_;
  Pace pace_;
  std::optional<ByteCount> length_;
  ByteCount left_ = 0; ///< of a body with a length
  ChunkedDecoder decoder_;
  bool continue_pending_ = false;
  std::optional<Error> failure_; ///< the first error, given again to every later call
  ByteCount received_ = 0;
  UploadLimit& paced_;
  std::shared_ptr<Throttle> throttle_;
  UploadLimit::Place place_; ///< while it has to take turns; else all has been taken at once
};

} // namespace pkc::http
