#include "response_writer.hpp"

#include "request_id.hpp"
#include "text.hpp"
#include "throttle.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace pkc::http {

namespace {

/// A file body up to this size is read into the head's buffer: one send is cheaper than a send and
/// a sendfile until the copy costs more than the call.
constexpr ByteCount kSmallFileMax = 16 * kKiB;

constexpr std::array<std::pair<int, std::string_view>, 32> kReasons{{
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
}};

std::string_view reason_of(int status) {
  const auto* row =
      std::ranges::lower_bound(kReasons, status, {}, &std::pair<int, std::string_view>::first);
  return row != kReasons.end() && row->first == status ? row->second : "Status";
}

/// The most that is asked of a PieceSource at once where the length is not known.
constexpr ByteCount kPieceMax = 64 * kMiB;

std::unexpected<Error> fail_short_file() {
  return fail(Errc::corrupt, "the file is shorter than its announced length");
}

AnswerResult::Wait wait_of(SendStep::Wait wait) {
  switch (wait) {
    case SendStep::Wait::nothing:
      return AnswerResult::Wait::nothing;
    case SendStep::Wait::output:
      return AnswerResult::Wait::output;
    case SendStep::Wait::input:
      return AnswerResult::Wait::input;
  }
  std::unreachable();
}

/// RFC 9110 sections 8.6 and 15: these statuses have no body, whatever the handler gave.
bool has_body(int status) {
  return status >= 200 && status != 204 && status != 304;
}

} // namespace

void ResponseWriter::append_date() {
  const WallTime now = clock_.wall_now();
  if (date_text_.empty() || now != date_) {
    date_ = now;
    date_text_ = format_http_date(now);
  }
  sending_.out += date_text_;
}

void ResponseWriter::format_head(const Response& response, const AnswerContext& context) {
  sending_.out = "HTTP/1.1 ";
  sending_.out += std::to_string(response.status);
  sending_.out += ' ';
  sending_.out += reason_of(response.status);
  sending_.out += "\r\nDate: ";
  append_date();
  sending_.out += "\r\n";
  sending_.out += kRequestIdField;
  sending_.out += ": ";
  sending_.out += context.request_id;
  sending_.out += "\r\n";
  append_fields(sending_.out, response.headers);
  if (response.field_lines) {
    sending_.out += *response.field_lines;
  }
  if (has_body(response.status)) {
    if (const auto length = response.body_length()) {
      sending_.out += "Content-Length: ";
      sending_.out += std::to_string(*length);
      sending_.out += "\r\n";
    } else if (!context.is_http_1_0) {
      sending_.out += "Transfer-Encoding: chunked\r\n";
      sending_.chunked = true;
    } else {
      sending_.ends_with_connection = !context.is_head_request;
    }
  }
  if (!context.keep_alive) {
    sending_.out += "Connection: close\r\n";
  } else if (context.is_http_1_0) {
    sending_.out += "Connection: keep-alive\r\n";
  }
  sending_.out += "\r\n";
  sending_.head_left = sending_.out.size();
}

/// Sends what waits in sending_.out, and counts what of it was body.
Result<void> ResponseWriter::flush(More more) {
  ByteSpan rest = as_bytes(sending_.out);
  while (!rest.empty()) {
    TRY_ASSIGN(const std::size_t count, socket_->send(rest, more, sending_.pace));
    const std::size_t of_head = std::min(count, sending_.head_left);
    sending_.head_left -= of_head;
    sending_.body_sent += count - of_head;
    rest = rest.subspan(count);
  }
  sending_.out.clear();
  return {};
}

/// How much of what is `left` may go now. Waits for the turn where there are turns.
Result<ByteCount> ResponseWriter::next_piece(ByteCount left) {
  if (sending_.throttle == nullptr || left == 0) {
    return left;
  }
  const Throttle::Turn turn = sending_.throttle->next_turn(left, sending_.pace.now());
  if (turn.when > sending_.pace.now()) { // what waits in Sending::out should not wait with us
    TRY(flush(More::no));
    TRY(socket_->pause_until(turn.when, sending_.pace));
  }
  return turn.bytes;
}

/// Waits until so much may go with one call.
Result<void> ResponseWriter::await_turns(ByteCount size) {
  while (size > 0) {
    TRY_ASSIGN(const ByteCount piece, next_piece(size));
    size -= piece;
  }
  return {};
}

Result<void> ResponseWriter::send_text(const std::string& body) {
  if (body.size() <= kSmallFileMax) {
    TRY(await_turns(body.size()));
    sending_.out += body;
    return flush(More::no);
  }
  TRY(flush(More::yes));
  ByteSpan rest = as_bytes(body);
  while (!rest.empty()) {
    TRY_ASSIGN(const ByteCount piece, next_piece(rest.size()));
    const std::size_t end = rest.size() - static_cast<std::size_t>(piece);
    while (rest.size() > end) {
      TRY_ASSIGN(const std::size_t count,
                 socket_->send(rest.first(rest.size() - end), More::no, sending_.pace));
      sending_.body_sent += count;
      rest = rest.subspan(count);
    }
  }
  return {};
}

Result<void> ResponseWriter::send_stream(ByteSource& source, ByteCount length) {
  buffer_.resize(kStreamBufferSize);
  for (ByteCount made = 0; made < length;) {
    TRY_ASSIGN(const std::size_t count, append_piece(source, length - made));
    made += count;
  }
  // The last piece is held back until the source says that it ended well: a source that checks a
  // digest at its end can still spoil the answer.
  std::byte beyond{};
  TRY_ASSIGN(const std::size_t count, source.read({&beyond, 1}));
  return count == 0 ? flush(More::no)
                    : fail(Errc::corrupt, "the source is longer than its announced length");
}

/// Reads up to `left` bytes behind what waits in sending_.out, which is sent first when both are
/// too much.
Result<std::size_t> ResponseWriter::append_piece(ByteSource& source, ByteCount left) {
  TRY_ASSIGN(const ByteCount want, next_piece(std::min<ByteCount>(left, buffer_.size())));
  TRY_ASSIGN(const std::size_t count,
             source.read(std::span(buffer_).first(static_cast<std::size_t>(want))));
  if (sending_.throttle != nullptr) {
    sending_.throttle->give_back(want - count);
  }
  if (count == 0) {
    return fail(Errc::corrupt, "the source is shorter than its announced length");
  }
  if (sending_.out.size() + count > kStreamBufferSize) {
    TRY(flush(More::yes));
  }
  sending_.out += as_text(std::span(buffer_).first(count));
  return count;
}

// ---- files and pieces, which are sent without waiting for the client ----------------------------

/// Sees that there is a piece to send, if there can be one now. REQUIRES: as send_pieces().
Result<ResponseWriter::Supply> ResponseWriter::supply_piece(PieceSource* source) {
  if (sending_.piece.length > 0 || sending_.ended) {
    return Supply::piece;
  }
  TRY_ASSIGN(const Supply supply, take_piece(source));
  TRY(frame_piece());
  return supply;
}

/// REQUIRES: nothing of the body is in Sending::out.
Result<ResponseWriter::Supply> ResponseWriter::take_piece(PieceSource* source) {
  const ByteCount most = sending_.left.value_or(kPieceMax);
  TRY_ASSIGN(FilePiece piece, source->piece(sending_.next_offset, most));
  if (piece.length == 0 && !piece.ended) {
    return Supply::nothing_yet;
  }
  if (piece.length == 0 && sending_.left) {
    return fail(Errc::corrupt, "the source is shorter than its announced length");
  }
  PKC_ASSERT(piece.length <= most);
  if (piece.length > 0) {
    PKC_ASSERT(piece.file != nullptr);
  }
  begin_piece(std::move(piece));
  return Supply::piece;
}

void ResponseWriter::begin_piece(FilePiece piece) {
  sending_.next_offset += piece.length;
  if (sending_.left) {
    *sending_.left -= piece.length;
  }
  sending_.ended = piece.length == 0 || sending_.left == 0U;
  sending_.piece = std::move(piece);
}

/// Puts what belongs before the piece, and a small piece too, behind what goes out first.
/// REQUIRES: nothing of the body is in Sending::out.
Result<void> ResponseWriter::frame_piece() {
  FilePiece& piece = sending_.piece;
  if (sending_.chunked) {
    append_chunk_lines();
  }
  if (piece.length == 0 || piece.length > kSmallFileMax || sending_.out.empty() ||
      sending_.throttle != nullptr) {
    return {};
  }
  const std::size_t head_size = sending_.out.size();
  const std::size_t length = piece.length;
  sending_.out.resize(head_size + length);
  const MutableByteSpan target =
      std::as_writable_bytes(std::span(sending_.out.data() + head_size, length));
  TRY_ASSIGN(const std::size_t count, piece.file->read_at(piece.offset, target));
  if (count != length) {
    return fail_short_file();
  }
  piece = FilePiece{};
  return {};
}

/// RFC 9112 section 7.1.
void ResponseWriter::append_chunk_lines() {
  std::string& out = sending_.out;
  const std::size_t before = out.size();
  if (std::exchange(sending_.chunk_open, sending_.piece.length > 0)) {
    out += "\r\n";
  }
  if (sending_.piece.length > 0) {
    std::array<char, 16> digits; // NOLINT(*-member-init): only read where set
    const auto number =
        std::to_chars(digits.data(), digits.data() + digits.size(), sending_.piece.length, 16);
    out.append(digits.data(), number.ptr);
    out += "\r\n";
  } else if (sending_.ended) {
    out += "0\r\n\r\n";
  }
  sending_.head_left += out.size() - before;
}

/// Whether Sending::out should wait for what follows. Not where that may have to wait itself.
More ResponseWriter::more_after_out() const {
  return sending_.piece.length > 0 && sending_.throttle == nullptr ? More::yes : More::no;
}

/// What of Sending::out cannot be sent now stays there.
Result<ResponseWriter::Wait> ResponseWriter::send_out(More more) {
  const ByteSpan all = as_bytes(sending_.out);
  std::size_t done = 0;
  Wait wait = Wait::nothing;
  while (done < all.size() && wait == Wait::nothing) {
    TRY_ASSIGN(const SendStep step, socket_->try_send(all.subspan(done), more, sending_.pace));
    const std::size_t of_head = std::min(step.count, sending_.head_left);
    sending_.head_left -= of_head;
    sending_.body_sent += step.count - of_head;
    done += step.count;
    wait = wait_of(step.wait);
  }
  sending_.out.erase(0, done);
  return wait;
}

/// Whether some of the piece may go now: as much as Sending::turn says, of one that is not empty.
bool ResponseWriter::has_turn() {
  if (sending_.turn == 0) {
    const SteadyTime now = sending_.pace.now();
    const Throttle::Turn turn = sending_.throttle == nullptr
                                    ? Throttle::Turn{.bytes = sending_.piece.length, .when = now}
                                    : sending_.throttle->next_turn(sending_.piece.length, now);
    sending_.turn = turn.bytes;
    sending_.turn_at = turn.when;
  }
  return sending_.throttle == nullptr || sending_.turn_at <= sending_.pace.now();
}

Result<ResponseWriter::Wait> ResponseWriter::send_piece(PieceSource* source) {
  const FilePiece& piece = sending_.piece;
  while (piece.length > 0) {
    if (!has_turn()) {
      return Wait::turn;
    }
    const int descriptor = piece.file->descriptor();
    if (descriptor < 0 || !socket_->can_send_files()) {
      TRY_ASSIGN(const Wait wait, copy_piece());
      if (wait != Wait::nothing) {
        return wait;
      }
      continue;
    }
    if (can_join(source)) {
      TRY_ASSIGN(const Wait wait, send_joined(*source));
      if (wait != Wait::nothing) {
        return wait;
      }
      continue;
    }
    TRY_ASSIGN(const SendStep step,
               socket_->try_send_file(descriptor, piece.offset, sending_.turn, sending_.pace));
    if (step.wait != SendStep::Wait::nothing) {
      return wait_of(step.wait);
    }
    if (step.count == 0) {
      return fail_short_file();
    }
    advance(step.count);
  }
  sending_.piece.file.reset();
  return Wait::nothing;
}

/// Whether what follows the piece can go out with it. In chunks each piece has a line before it.
bool ResponseWriter::can_join(const PieceSource* source) {
  return source != nullptr && sending_.left.value_or(0) > 0 && sending_.throttle == nullptr &&
         socket_->can_splice() && pipe_.open();
}

/// REQUIRES: can_join(); the piece is not empty and has a descriptor.
Result<ResponseWriter::Wait> ResponseWriter::send_joined(PieceSource& source) {
  const auto more = fill_pipe(source);
  auto step = more ? socket_->try_splice(pipe_, *more, sending_.pace)
                   : Result<SendStep>(std::unexpected(more.error()));
  pipe_.clear();
  if (step) {
    advance_over(step->count);
  }
  following_.clear();
  if (!step) {
    return std::unexpected(std::move(step).error());
  }
  return wait_of(step->wait);
}

/// The same as advance(), into the pieces that follow.
void ResponseWriter::advance_over(std::size_t count) {
  for (auto next = following_.begin(); count > sending_.piece.length; ++next) {
    count -= sending_.piece.length;
    advance(sending_.piece.length);
    begin_piece(std::move(*next));
    sending_.turn = sending_.piece.length;
  }
  advance(count);
}

/// Puts the piece and what follows it into the pipe, as far as there is room; says whether more was
/// there.
Result<More> ResponseWriter::fill_pipe(PieceSource& source) {
  const FilePiece& first = sending_.piece;
  TRY_ASSIGN(const ByteCount added,
             pipe_.add(first.file->descriptor(), first.offset, first.length));
  if (added == 0) {
    return fail_short_file();
  }
  bool full = added < first.length;
  ByteCount left = sending_.left.value_or(0);
  for (ByteCount offset = sending_.next_offset; left > 0 && !full;) {
    auto next = source.piece(offset, left);
    if (!next || next->length == 0 || next->file->descriptor() < 0) {
      break; // why, shows when it is its turn, as do errors
    }
    full =
        pipe_.add(next->file->descriptor(), next->offset, next->length).value_or(0) < next->length;
    offset += next->length;
    left -= next->length;
    following_.push_back(*std::move(next));
  }
  return full ? More::yes : More::no;
}

/// Sends some of a piece where sendfile() cannot. What was read and not sent is read again later:
/// an answer that waits keeps no buffer.
Result<ResponseWriter::Wait> ResponseWriter::copy_piece() {
  const FilePiece& piece = sending_.piece;
  buffer_.resize(kStreamBufferSize);
  const auto want = static_cast<std::size_t>(std::min<ByteCount>(sending_.turn, buffer_.size()));
  TRY_ASSIGN(const std::size_t count,
             piece.file->read_at(piece.offset, std::span(buffer_).first(want)));
  if (count == 0) {
    return fail_short_file();
  }
  ByteSpan rest = std::span(buffer_).first(count);
  while (!rest.empty()) {
    TRY_ASSIGN(const SendStep step, socket_->try_send(rest, More::no, sending_.pace));
    if (step.wait != SendStep::Wait::nothing) {
      return wait_of(step.wait);
    }
    advance(step.count);
    rest = rest.subspan(step.count);
  }
  return Wait::nothing;
}

void ResponseWriter::advance(std::size_t count) {
  sending_.piece.offset += count;
  sending_.piece.length -= count;
  sending_.turn -= count;
  sending_.body_sent += count;
}

/// Sends until everything is sent or something has to be waited for. REQUIRES: nothing of the body
/// is in Sending::out, unless it has ended.
Result<ResponseWriter::Wait> ResponseWriter::send_pieces(PieceSource* source) {
  Wait wait = Wait::nothing;
  bool over = false;
  while (wait == Wait::nothing && !over) {
    TRY_ASSIGN(const Supply supply, supply_piece(source));
    TRY_ASSIGN(wait, send_out(more_after_out()));
    if (wait == Wait::nothing && supply == Supply::nothing_yet) {
      wait = Wait::source;
    } else if (wait == Wait::nothing) {
      TRY_ASSIGN(wait, send_piece(source));
    }
    over = sending_.ended;
  }
  return wait;
}

Result<ResponseWriter::Wait> ResponseWriter::send_file(FileBody& body) {
  PKC_ASSERT(body.file != nullptr);
  sending_.piece = {.file = std::move(body.file), .offset = body.offset, .length = body.length};
  sending_.ended = true;
  TRY(frame_piece());
  return send_pieces(nullptr);
}

Result<ResponseWriter::Wait> ResponseWriter::begin_pieces(const PiecesBody& body) {
  PKC_ASSERT(body.source != nullptr);
  sending_.next_offset = body.offset;
  sending_.left = body.length;
  sending_.ended = body.length == 0U;
  return send_pieces(body.source.get());
}

// ---- whole answers ------------------------------------------------------------------------------

Result<ResponseWriter::Wait> ResponseWriter::send_body(Response& response) {
  if (auto* const file = std::get_if<FileBody>(&response.body)) {
    return send_file(*file);
  }
  if (const auto* const pieces = std::get_if<PiecesBody>(&response.body)) {
    return begin_pieces(*pieces);
  }
  if (const auto* const text = std::get_if<std::string>(&response.body)) {
    TRY(send_text(*text));
  } else {
    const auto& stream = std::get<StreamBody>(response.body);
    PKC_ASSERT(stream.source != nullptr);
    TRY(send_stream(*stream.source, stream.length));
  }
  return Wait::nothing;
}

AnswerResult ResponseWriter::result_of(Result<Wait> done) {
  AnswerResult result;
  result.body_bytes = sending_.body_sent;
  if (!done) {
    result.complete = false;
    result.failure = std::move(done).error().message;
  } else {
    result.complete = *done == Wait::nothing;
    result.wait = *done;
  }
  if (result.wait == Wait::nothing) {
    sending_.piece = FilePiece{}; // after a failure it may still hold a file
  }
  if (result.complete && sending_.ends_with_connection) {
    socket_->deliver_on_close();
  }
  return result;
}

AnswerResult ResponseWriter::write(Socket& socket,
                                   Response& response,
                                   const AnswerContext& context) {
  socket_ = &socket;
  sending_.begin(Pace(clock_, context.write_timeout, context.rate_min));
  sending_.throttle = context.throttle;
  format_head(response, context);
  if (sending_.ends_with_connection) { // a crash must not look like the end of the body
    socket_->reset_on_close();
  }
  if (context.is_head_request || !has_body(response.status)) {
    sending_.ended = true;
    return result_of(send_pieces(nullptr));
  }
  return result_of(send_body(response));
}

Sending ResponseWriter::put_aside() {
  Sending aside = std::exchange(sending_, Sending(sending_.pace));
  aside.out.shrink_to_fit();
  return aside;
}

AnswerResult ResponseWriter::go_on(Socket& socket, Response& response, Sending sending) {
  socket_ = &socket;
  sending_ = std::move(sending);
  const auto* const pieces = std::get_if<PiecesBody>(&response.body);
  auto out = send_out(more_after_out());
  return result_of(out && *out == Wait::nothing
                       ? send_pieces(pieces == nullptr ? nullptr : pieces->source.get())
                       : std::move(out));
}

} // namespace pkc::http
