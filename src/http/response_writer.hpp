// ResponseWriter: one answer onto the wire, in as few system calls as its body allows.
#pragma once

#include "sending.hpp"
#include "socket.hpp"
#include "splice_pipe.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/http/message.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {

/// What an answer depends on besides itself.
struct AnswerContext {
  bool is_head_request = false; ///< headers only
  bool is_http_1_0 = false;
  bool keep_alive = true;      ///< "Connection: close" otherwise
  std::string_view request_id; ///< for X-Request-Id
  std::chrono::milliseconds write_timeout{};
  ByteCount rate_min = 0;       ///< bytes per second that the client must take; 0: any
  Throttle* throttle = nullptr; ///< whose turns the body waits for; null: it need not wait;
                                ///< outlives the answer
};

/// How far an answer came, or where it stands.
struct AnswerResult {
  /// What it waits for, if it is not over.
  enum class Wait : std::uint8_t {
    nothing,
    output, ///< the client takes nothing at the moment
    input,  ///< as SendStep::Wait::input
    source, ///< the body has no more bytes yet
    turn,   ///< the limit of a token allows nothing before Sending::turn_at
  };
  ByteCount body_bytes = 0; ///< of the body, sent
  bool complete = true;     ///< false: the connection must be reset, or it waits
  std::string failure;      ///< why it is not complete
  Wait wait = Wait::nothing;
};

/// Writes answers, one after the other, with buffers that are kept. One thread at a time.
class ResponseWriter {
 public:
  explicit ResponseWriter(const Clock& clock) : clock_(clock), sending_(Pace(clock, {})) {}

  /// Sends `response`, which is not Deferred. Files and pieces are sent as far as it goes without a
  /// wait: put_aside() and go_on() do the rest. Everything else blocks, while the client keeps the
  /// pace of `context`. A body that fails or falls short of its announced length leaves the answer
  /// incomplete.
  AnswerResult write(Socket& socket, Response& response, const AnswerContext& context);

  /// Takes the answer that waits out of the writer.
  Sending put_aside();
  /// Goes on with it, after what it has waited for.
  AnswerResult go_on(Socket& socket, Response& response, Sending sending);

 private:
  using Wait = AnswerResult::Wait;
  /// What the next of a body is.
  enum class Supply : std::uint8_t {
    piece, ///< or the end
    nothing_yet,
  };

  void format_head(const Response& response, const AnswerContext& context);
  void append_date();
  Result<Wait> send_body(Response& response);
  AnswerResult result_of(Result<Wait> done);
  Result<void> send_text(const std::string& body);
  Result<void> send_stream(ByteSource& source, ByteCount length);
  Result<std::size_t> append_piece(ByteSource& source, ByteCount left);
  Result<void> flush(More more);
  Result<ByteCount> next_piece(ByteCount left);
  Result<void> await_turns(ByteCount size);

  Result<Wait> send_file(FileBody& body);
  Result<Wait> begin_pieces(const PiecesBody& body);
  Result<Wait> send_pieces(PieceSource* source);
  Result<Supply> supply_piece(PieceSource* source);
  Result<Supply> take_piece(PieceSource* source);
  void begin_piece(FilePiece piece);
  Result<void> frame_piece();
  void append_chunk_lines();
  [[nodiscard]] More more_after_out() const;
  Result<Wait> send_out(More more);
  Result<Wait> send_piece(PieceSource* source);
  bool has_turn();
  bool can_join(const PieceSource* source);
  Result<Wait> send_joined(PieceSource& source);
  Result<More> fill_pipe(PieceSource& source);
  void advance_over(std::size_t count);
  Result<Wait> copy_piece();
  void advance(std::size_t count);

  const Clock& clock_;
  Socket* socket_ = nullptr; ///< of the answer being written
  Sending sending_;          ///< the same
  WallTime date_;
  std::string date_text_;
  std::vector<std::byte> buffer_;
  SplicePipe pipe_;                  ///< empty between calls
  std::vector<FilePiece> following_; ///< what is in pipe_ behind Sending::piece, in whole pieces
};

} // namespace pkc::http
