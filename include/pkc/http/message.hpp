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

/// The body of a request, read at most once. The first read() sends "100 Continue" when the client
/// waits for it, so a handler that answers without reading refuses the body before it is sent
/// (DESIGN section 10). Errors of read(): unavailable when the client went away or broke the
/// framing, timeout when it stalled.
class RequestBody : public ByteSource {
 public:
  /// The announced Content-Length; 0 when the request has no body; nothing when it is chunked.
  [[nodiscard]] virtual std::optional<ByteCount> length() const = 0;
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

/// One answer. The engine adds Date, Content-Length and Connection; a HEAD answer has the headers
/// of its body and sends none of it.
struct Response {
  int status = 200;
  Headers headers;
  std::variant<std::string, FileBody, StreamBody> body;
  bool close_connection = false; ///< ask for "Connection: close"
  Outcome outcome = Outcome::by_status;

  [[nodiscard]] ByteCount body_length() const;
};

/// Handles one request. May block. Called by many threads at once.
using Handler = std::function<Response(Request&)>;

/// An answer without body.
Response make_response(int status);

/// {"error":"<message>"} as application/json: the one shape of every error of ours. `message` is
/// shown to the client, so it names the problem and never a path, an errno or somebody else's key.
Response make_error(int status, std::string_view message);

} // namespace pkc::http
