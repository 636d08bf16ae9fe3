#include "response_writer.hpp"

#include "request_id.hpp"
#include "text.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <array>
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

/// A field value may come from stored data: a line break in it must not start a new field.
void append_field_text(std::string& out, std::string_view text) {
  static constexpr CharSet kBreaks(std::string_view("\r\n\0", 3));
  const std::size_t start = out.size();
  out.append(text);
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start),
      out.end(),
      [](char c) { return kBreaks.has(c); },
      ' ');
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
  out_ += date_text_;
}

void ResponseWriter::format_head(const Response& response, const AnswerContext& context) {
  out_ = "HTTP/1.1 ";
  out_ += std::to_string(response.status);
  out_ += ' ';
  out_ += reason_of(response.status);
  out_ += "\r\nDate: ";
  append_date();
  out_ += "\r\n";
  out_ += kRequestIdField;
  out_ += ": ";
  out_ += context.request_id;
  out_ += "\r\n";
  for (const auto& [name, value] : response.headers.fields()) {
    append_field_text(out_, name);
    out_ += ": ";
    append_field_text(out_, value);
    out_ += "\r\n";
  }
  if (has_body(response.status)) {
    out_ += "Content-Length: ";
    out_ += std::to_string(response.body_length().value_or(0));
    out_ += "\r\n";
  }
  if (!context.keep_alive) {
    out_ += "Connection: close\r\n";
  } else if (context.is_http_1_0) {
    out_ += "Connection: keep-alive\r\n";
  }
  out_ += "\r\n";
  head_left_ = out_.size();
}

/// Sends what waits in out_, and counts what of it was body.
Result<void> ResponseWriter::flush(More more) {
  ByteSpan rest = as_bytes(out_);
  while (!rest.empty()) {
    TRY_ASSIGN(const std::size_t count, socket_->send(rest, more, pace_));
    const std::size_t of_head = std::min(count, head_left_);
    head_left_ -= of_head;
    body_sent_ += count - of_head;
    rest = rest.subspan(count);
  }
  out_.clear();
  return {};
}

Result<void> ResponseWriter::send_text(const std::string& body) {
  if (body.size() <= kSmallFileMax) {
    out_ += body;
    return flush(More::no);
  }
  TRY(flush(More::yes));
  ByteSpan rest = as_bytes(body);
  while (!rest.empty()) {
    TRY_ASSIGN(const std::size_t count, socket_->send(rest, More::no, pace_));
    body_sent_ += count;
    rest = rest.subspan(count);
  }
  return {};
}

Result<void> ResponseWriter::send_small_file(const FileBody& body) {
  const std::size_t head_size = out_.size();
  const auto length = static_cast<std::size_t>(body.length);
  out_.resize(head_size + length);
  const MutableByteSpan target = std::as_writable_bytes(std::span(out_.data() + head_size, length));
  TRY_ASSIGN(const std::size_t count, body.file->read_at(body.offset, target));
  if (count != length) {
    return fail(Errc::corrupt, "the file is shorter than its announced length");
  }
  return flush(More::no);
}

Result<void> ResponseWriter::send_descriptor(const FileBody& body, int descriptor) {
  TRY(flush(More::yes));
  ByteCount sent = 0;
  while (sent < body.length) {
    TRY_ASSIGN(const std::size_t count,
               socket_->send_file(descriptor, body.offset + sent, body.length - sent, pace_));
    if (count == 0) {
      return fail(Errc::corrupt, "the file is shorter than its announced length");
    }
    sent += count;
    body_sent_ += count;
  }
  return {};
}

namespace {

/// A piece of a file without descriptor, as a source.
class FileSource final : public ByteSource {
 public:
  explicit FileSource(const FileBody& body) : body_(body) {}

  Result<std::size_t> read(MutableByteSpan buffer) override {
    const ByteCount left = body_.length - done_;
    const MutableByteSpan target =
        buffer.first(static_cast<std::size_t>(std::min<ByteCount>(left, buffer.size())));
    if (target.empty()) {
      return 0;
    }
    TRY_ASSIGN(const std::size_t count, body_.file->read_at(body_.offset + done_, target));
    done_ += count;
    return count;
  }

 private:
  const FileBody& body_;
  ByteCount done_ = 0;
};

} // namespace

Result<void> ResponseWriter::send_file(const FileBody& body) {
  if (body.length <= kSmallFileMax) {
    return send_small_file(body);
  }
  if (const int descriptor = body.file->descriptor();
      descriptor >= 0 && socket_->can_send_files()) {
    return send_descriptor(body, descriptor);
  }
  FileSource source(body);
  return send_stream(source, body.length);
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

/// Reads up to `left` bytes behind what waits in out_, which is sent first when both are too much.
Result<std::size_t> ResponseWriter::append_piece(ByteSource& source, ByteCount left) {
  const auto want = static_cast<std::size_t>(std::min<ByteCount>(left, buffer_.size()));
  TRY_ASSIGN(const std::size_t count, source.read(std::span(buffer_).first(want)));
  if (count == 0) {
    return fail(Errc::corrupt, "the source is shorter than its announced length");
  }
  if (out_.size() + count > kStreamBufferSize) {
    TRY(flush(More::yes));
  }
  out_ += as_text(std::span(buffer_).first(count));
  return count;
}

AnswerResult ResponseWriter::write(Socket& socket,
                                   Response& response,
                                   const AnswerContext& context) {
  socket_ = &socket;
  pace_ = Pace(clock_, context.write_timeout, context.rate_min);
  body_sent_ = 0;
  format_head(response, context);
  Result<void> done;
  if (context.is_head_request || !has_body(response.status)) {
    done = flush(More::no);
  } else if (const auto* text = std::get_if<std::string>(&response.body)) {
    done = send_text(*text);
  } else if (const auto* file = std::get_if<FileBody>(&response.body)) {
    PKC_ASSERT(file->file != nullptr);
    done = send_file(*file);
  } else {
    const auto& stream = std::get<StreamBody>(response.body);
    PKC_ASSERT(stream.source != nullptr);
    done = send_stream(*stream.source, stream.length);
  }
  AnswerResult result{body_sent_, done.has_value(), {}};
  if (!done) {
    result.failure = std::move(done).error().message;
  }
  return result;
}

} // namespace pkc::http
