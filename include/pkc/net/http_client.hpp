// HttpClient: GET and HEAD of URLs that others name. It follows redirects, and goes only where it
// may.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/http_headers.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/url.hpp"
#include "pkc/net/address_rules.hpp"
#include "pkc/net/proxy.hpp"
#include "pkc/net/resolver.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

namespace pkc::net {

/// What to do when an https URL redirects to an http URL.
enum class Downgrade : std::uint8_t {
  refuse,
  follow
};

struct HttpClientOptions {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  std::string user_agent{};
  std::string ca_file{}; ///< PEM, trusted beside the roots of the system; empty: those alone
  AddressRules rules{};
  ProxyOptions proxy{};
  // NOLINTEND(readability-redundant-member-init)
  Downgrade downgrade = Downgrade::refuse;
  std::chrono::milliseconds connect_timeout{10'000}; ///< until TLS stands: names, TCP, proxy, TLS
  std::chrono::milliseconds idle_timeout{60'000};    ///< while not one byte comes or goes
  unsigned redirects_max = 10;
  std::size_t idle_connections_max = 64; ///< kept for later, of all origins
  std::size_t idle_connections_per_origin_max = 8;
  std::chrono::milliseconds idle_connection_age_max{30'000}; ///< older ones are not used again
  ByteCount head_size_max = 64 * kKiB; ///< of a status line with its headers, and of trailers
  std::size_t header_count_max = 200;
};

enum class FetchMethod : std::uint8_t {
  get,
  head
};

struct FetchRequest {
  // NOLINTBEGIN(readability-redundant-member-init): g++ warns where one is left out otherwise
  FetchMethod method = FetchMethod::get;
  Url url{};
  /// Sent at every hop: Range, If-Range, If-None-Match, Accept and such. Host, Connection,
  /// User-Agent, Accept-Encoding and framing headers are the client's own; credentials
  /// (Authorization, Proxy-Authorization, Cookie) are never sent. All of these are left out.
  HttpHeaders headers{};
  SteadyTime deadline = SteadyTime::max(); ///< of the whole, redirects and body included
  std::stop_token stop{};                  ///< ends fetch() at once, also while it waits
  // NOLINTEND(readability-redundant-member-init)
};

/// The beginning of the answer that was not a redirect.
struct ResponseHead {
  int status = 0;      ///< 200 to 999; a redirect status only when it came without a Location
  HttpHeaders headers; ///< as sent, Content-Encoding included
  Url url;             ///< who answered, after redirects
  /// The Content-Length; nothing when there is none or the body is chunked. For a HEAD request that
  /// of the answer to a GET.
  std::optional<ByteCount> content_length;
};

/// Takes an answer. Called by the thread that called fetch(), and never after fetch() returned.
class ResponseSink : public ByteSink {
 public:
  /// Called once, before the first write(), whatever the status is. Body bytes come to write() as
  /// they were sent, without transfer coding; content codings are not undone. An error of either
  /// ends the fetch and comes out of it unchanged.
  virtual Result<void> head(const ResponseHead& head) = 0;

  /// Called when no more of the body has come for kLull, before it is waited for: so that whoever
  /// collects bytes passes on what there is. An error is as one of write().
  virtual Result<void> lull() { return {}; }
  static constexpr std::chrono::milliseconds kLull{200};
};

/// Fetches. Thread-safe, in a process that ignores SIGPIPE; keeps connections for later. Everything
/// it was made with outlives it.
///
/// Where it goes: before each hop the host is judged by the rules, the name is resolved, and the
/// addresses that the rules refuse are left out. The connection is made to one of the others and to
/// nothing else, whatever the name means a moment later.
/// Through a proxy it is the proxy that resolves: here the host is judged by its name, and by all
/// its addresses when it has some here. That the proxy sees the same addresses cannot be promised;
/// a proxy that others' URLs go through has to have rules of its own.
///
/// What it gives: exactly the body that was sent. An answer whose end cannot be told from a break
/// (a connection that closes before Content-Length bytes or the last chunk came, or a TLS
/// connection that ends without saying so) is an error. The one form without such a mark, plain
/// HTTP until the connection is closed, is taken as whole when it is closed in order;
/// content_length is empty then.
class HttpClient {
 public:
  virtual ~HttpClient() = default;

  /// Reads the certificates. `resolver` outlives the client. Errors: invalid_argument (a proxy or
  /// the CA file), io.
  static Result<std::unique_ptr<HttpClient>> make(HttpClientOptions options, Resolver& resolver);

  /// Blocks until the answer ended, in the deadline of the request. An answer of any status is a
  /// success; a redirect is followed unless it has no Location. A request on a kept connection that
  /// the server closed meanwhile is sent again on a new one. Errors:
  ///   unauthorized      a rule refuses the host, all its addresses or a downgrade, at any hop
  ///   invalid_argument  redirects in a circle, more than redirects_max, or to what is no URL of
  ///   ours unavailable       no such name, no connection, no TLS, an answer that is no HTTP, over
  ///   a limit or
  ///                     cut short; also when `stop` was requested, which the caller can ask it
  ///   timeout           the deadline, connect_timeout or idle_timeout passed
  /// and whatever the sink returns. Messages of unauthorized and invalid_argument may be shown.
  virtual Result<ResponseHead> fetch(const FetchRequest& request, ResponseSink& sink) = 0;
};

} // namespace pkc::net
