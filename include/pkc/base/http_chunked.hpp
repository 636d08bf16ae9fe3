// ChunkedDecoder: the chunked transfer coding (RFC 9112 section 7.1), strictly.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pkc {

/// Decodes a chunked body piece by piece; does no I/O. One thread at a time. Sizes are plain hex
/// digits, every line ends with CRLF; extensions and trailers are read and dropped within a limit
/// for the whole body, so that they cannot be used to keep a server busy with nothing.
class ChunkedDecoder {
 public:
  struct Progress {
    std::size_t consumed = 0;
    std::size_t produced = 0;
  };

  /// Decodes from `input` into `output` until one is used up or the body is done. Errors:
  /// unavailable for anything that is not chunked coding (the connection cannot be used further).
  Result<Progress> decode(std::string_view input, MutableByteSpan output);

  /// The last chunk and the trailer section have been read.
  [[nodiscard]] bool done() const { return state_ == State::done; }

  /// Data bytes that come next with nothing in between; 0 when a chunk line is next.
  [[nodiscard]] ByteCount data_left() const { return state_ == State::data ? size_ : 0; }

  /// Tells that `count` (<= data_left()) data bytes went to the reader without decode().
  void skip_data(ByteCount count);

 private:
  enum class State : std::uint8_t {
    size_start, ///< the first digit
    size,
    padding,   ///< blanks behind the size, which only an extension may follow
    extension, ///< to CR
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start, ///< first byte of a line of the trailer section
    trailer,       ///< to CR
    trailer_lf,
    end_lf,
    done,
  };

  bool accept(char c);
  bool accept_size(char c);
  bool accept_dropped(char c, State at_cr);

  State state_ = State::size_start;
  ByteCount size_ = 0;
  std::size_t digits_ = 0;
  std::size_t dropped_ = 0; ///< bytes of extensions and trailers so far
};

} // namespace pkc
