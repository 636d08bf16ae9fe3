// Sending: how far an answer has come, so that it can be put aside and taken up again.
#pragma once

#include "pace.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/http/message.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace pkc::http {

class Throttle;

/// One answer on its way to its client. While it waits it holds no bytes of the body, but for a
/// piece too small for a call of its own. One thread at a time.
struct Sending {
  explicit Sending(const Pace& client_pace) : pace(client_pace) {}

  /// Begins with another answer; the memory of `out` is kept.
  void begin(const Pace& client_pace) {
    std::string memory = std::move(out);
    memory.clear();
    *this = Sending(client_pace);
    out = std::move(memory);
  }

  Pace pace;
  std::string
      out; ///< what goes before the rest of the body; the head goes out with the first of it
  std::size_t head_left = 0; ///< how many of its first bytes are not body
  ByteCount body_sent = 0;
  FilePiece piece;               ///< what is left of the last piece
  ByteCount next_offset = 0;     ///< in the source, behind that
  std::optional<ByteCount> left; ///< of the body, behind that; nothing while it is not known
  Throttle* throttle = nullptr;  ///< whose turns the body waits for; null: it need not wait
  ByteCount turn = 0;            ///< how much of `piece` may go, from turn_at on; 0: not known yet
  SteadyTime turn_at;
  bool chunked = false;
  bool ends_with_connection = false; ///< nothing else tells the client that it has all of the body
  bool chunk_open = false;           ///< a chunk's last line has not been sent
  bool ended = false;                ///< nothing follows behind `out` and `piece`
};

} // namespace pkc::http
