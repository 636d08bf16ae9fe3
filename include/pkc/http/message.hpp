// Request and Response: what a protocol sees of HTTP. No socket, no library type.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pkc::http {

enum class Method : std::uint8_t {
  get,
  head,
  put,
  post,
  delete_, // NOLINT(readability-identifier-naming): without the underscore it is a keyword
  options,
  patch,
  other
};

/// What became of a request, for metrics; by_status: its status says enough.
enum class Outcome : std::uint8_t {
  by_status,
  hit,
  miss,
  stored,
  exists,
  rejected,
  failed
};

using Headers = HttpHeaders;

class Throttle;

/// The body of a request, read at most once. The first read() sends "100 Continue" when the client
/// waits for it, so a handler that answers without reading refuses the body before it is sent
/// (DESIGN section 10). Errors of read(): unavailable when the client went away or broke the
/// framing, timeout when it stalled.
class RequestBody : public ByteSource {
 public:
  /// The announced Content-Length; 0 when the request has no body; nothing when it is chunked.
  [[nodiscard]] virtual std::optional<ByteCount> length() const = 0;
  /// From now on read() goes no faster than `throttle` allows. False when that would take a worker
  /// and too many of them wait already; then nothing changes. To be called before the first read().
  /// A body that comes from no client has no pace.
  [[nodiscard]] virtual bool pace(const std::shared_ptr<Throttle>& /*throttle*/) { return true; }
};

struct Principal;

/// One request. Lives while its handler runs; all views point into it.
struct Request {
  Method method = Method::other;
  std::string method_name; ///< as sent
  std::string path;  ///< raw (still percent-encoded) path: absolute-form stripped, leading slashes
                     ///< collapsed, no query
  std::string query; ///< raw text after the first '?', without it
  std::vector<std::string> parameters; ///< decoded values of the route's {placeholders}, in order
  std::string_view protocol;           ///< of the route that was found; lives as long as the router
  Headers headers;
  std::string
      client_address; ///< numeric; from X-Forwarded-For only when the peer is a trusted proxy
  RequestBody* body = nullptr;          ///< never null inside a handler
  const Principal* principal = nullptr; ///< who sent it; never null inside a handler
};

/// A piece of an open file, sent with sendfile where there is a descriptor.
struct FileBody {
  std::shared_ptr<File> file;
  ByteCount offset = 0;
  ByteCount length = 0;
};

/// A body made while it is sent. When read() fails, the connection is reset: the client never sees
/// a clean end of a short body (DESIGN section 9).
struct StreamBody {
  std::unique_ptr<ByteSource> source;
  ByteCount length = 0; ///< exactly what the source will give
};

/// Tells the engine that a wait is over. May be called by any thread, also before the call that
/// handed it out has returned, and while locks are held: it neither blocks nor calls anybody. Only
/// the first call counts; one that comes when nobody waits any more, or when the server is gone,
/// does nothing.
using Wake = std::function<void()>;

/// What a PieceSource has at an offset.
struct FilePiece {
  std::shared_ptr<File> file; ///< null when there is nothing
  ByteCount offset = 0;       ///< in the file
  ByteCount length = 0;       ///< 0: nothing yet or, when `ended`, nothing ever
  bool ended = false;         ///< looked at when length is 0; only a body of unknown length may end
};

/// A body that lies in pieces of files, and may still grow. Shared by as many answers as there are
/// waiters: thread-safe. Answers keep no bytes of it, so a piece that was given must stay as it is
/// for as long as its File is open.
class PieceSource {
 public:
  virtual ~PieceSource() = default;

  /// What can be sent of the body from `offset` on, at most `length_max` (> 0) bytes; as much as is
  /// there, because each piece costs a system call. Does not block. An error (any Errc) resets the
  /// connection, as the client must not take what it has got for the whole.
  virtual Result<FilePiece> piece(ByteCount offset, ByteCount length_max) = 0;

  /// Calls `wake` once piece(offset) would give more than it did: bytes, the end, or an error. At
  /// once if it does already. Called after a piece of length 0, and again only after `wake`.
  virtual void when_ready(ByteCount offset, Wake wake) = 0;
};

/// A part of a PieceSource, sent with sendfile. While there is nothing to send yet, and while the
/// client takes nothing, the connection waits without a worker. That a client has left shows in
/// the destruction of its `source`: at once when it is reset, else when it is sent the next bytes.
struct PiecesBody {
  std::shared_ptr<PieceSource> source;
  ByteCount offset = 0; ///< of the first byte to send
  /// Exactly what will be sent. Nothing: up to the end, in chunks, or to a client of HTTP/1.0 until
  /// the connection closes.
  std::optional<ByteCount> length;
};

struct Response;

/// An answer that is not known yet: the connection waits for it without a worker. The engine calls
/// `subscribe` once and, when that has returned and the wake has come, `resume` once, by whatever
/// thread: it may block as a handler may, and may return a Deferred again. An exception of either
/// is 500, as one of a handler is.
///
/// The Request has ended by then with all its views: what `resume` needs of it, the handler copies.
/// When the client leaves or is cut off first, the Deferred is destroyed without a resume(), so
/// that a capture can tell by its destructor that nobody waits any more. A client has left when its
/// connection is closed or reset. One that has only closed its sending side still gets its answer;
/// as a close looks the same at first, an HTTP/1.1 client is sent "102 Processing" to find out, and
/// one of HTTP/1.0, which knows no such thing, counts as gone.
struct Deferred {
  std::move_only_function<void(Wake wake)> subscribe;
  std::move_only_function<Response()> resume;
};

/// One answer. The engine adds Date, Content-Length (or Transfer-Encoding) and Connection; a HEAD
/// answer has the headers of its body and sends none of it.
struct Response {
  int status = 200;
  Headers headers;
  /// More of them, by format_fields(), for an answer that is given often; null: no more.
  std::shared_ptr<const std::string> field_lines = nullptr;
  /// Of a Response with a Deferred nothing else is sent; its status is what an AccessObserver sees.
  std::variant<std::string, FileBody, StreamBody, PiecesBody, Deferred> body;
  bool close_connection = false; ///< ask for "Connection: close"
  Outcome outcome = Outcome::by_status;
  std::shared_ptr<Throttle> throttle; ///< how fast the body may go; null: as fast as it can

  /// Nothing when it shows only at its end. REQUIRES: not Deferred.
  [[nodiscard]] std::optional<ByteCount> body_length() const;
};

/// Handles one request. May block. Called by many threads at once.
using Handler = std::function<Response(Request&)>;

/// Header fields as they are sent, each with its line break. A break in a value, which may come
/// from stored data, becomes a blank, so that it starts no new field.
std::string format_fields(const Headers& headers);
/// The same, behind what is in `out`.
void append_fields(std::string& out, const Headers& headers);

/// An answer without body.
Response make_response(int status);

/// {"error":"<message>"} as application/json: the one shape of every error of ours. `message` is
/// shown to the client, so it names the problem and never a path, an errno or somebody else's key.
Response make_error(int status, std::string_view message);

} // namespace pkc::http
