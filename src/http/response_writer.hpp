// ResponseWriter: one answer onto the wire, in as few system calls as its body allows.
#pragma once

#include "socket.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/http/message.hpp"

#include <chrono>
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
  ByteCount rate_min = 0; ///< bytes per second that the client must take; 0: any
};

/// How far an answer came.
struct AnswerResult {
  ByteCount body_bytes = 0; ///< of the body, sent
  bool complete = true;     ///< false: the connection must be reset
  std::string failure;      ///< why it is not complete
};

/// Writes answers, one after the other, with buffers that are kept. One thread at a time.
class ResponseWriter {
 public:
  explicit ResponseWriter(const Clock& clock) : clock_(clock), pace_(clock, {}) {}

  /// Sends `response`. Blocks, while the client keeps the pace of `context`. A body that fails or
  /// falls short of its announced length leaves the answer incomplete.
  AnswerResult write(Socket& socket, Response& response, const AnswerContext& context);

 private:
  void format_head(const Response& response, const AnswerContext& context);
  void append_date();
  Result<void> send_text(const std::string& body);
  Result<void> send_file(const FileBody& body);
  Result<void> send_small_file(const FileBody& body);
  Result<void> send_descriptor(const FileBody& body, int descriptor);
  Result<void> send_stream(ByteSource& source, ByteCount length);
  Result<std::size_t> append_piece(ByteSource& source, ByteCount left);
  Result<void> flush(More more);

  const Clock& clock_;
  Socket* socket_ = nullptr; ///< of the answer being written, as are the next four
  Pace pace_;
  std::string out_; ///< bytes that wait to be sent; the head goes out with the first of the body
  std::size_t head_left_ = 0; ///< how many of them are not body
  ByteCount body_sent_ = 0;
  WallTime date_;
  std::string date_text_;
  std::vector<std::byte> buffer_;
};

} // namespace pkc::http
