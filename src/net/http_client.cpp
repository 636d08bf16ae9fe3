#include "pkc/net/http_client.hpp"

#include "connection.hpp"
#include "connection_pool.hpp"
#include "exchange.hpp"
#include "patience.hpp"
#include "request_text.hpp"
#include "response_head.hpp"
#include "tls_client.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::net {

namespace {

using std::chrono::milliseconds;

/// A redirect's body is read when it is short and comes at once, because the connection can be kept
/// then; otherwise a new connection is cheaper.
constexpr ByteCount kDrainedMax = 64 * kKiB;
constexpr milliseconds kDrainIdle{1'000};

/// Behind a proxy that resolves, our own look at a name is a second opinion that must not cost
/// much.
constexpr milliseconds kSecondOpinion{2'000};

constexpr int kProxyAuthenticationRequired = 407;

/// Knows whether it was the sink that failed.
class Delivery final : public ByteSink {
 public:
  explicit Delivery(ResponseSink& sink) : sink_(sink) {}
  Result<void> write(ByteSpan bytes) override { return judged(sink_.write(bytes)); }
  Result<void> lull() { return judged(sink_.lull()); }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  Result<void> judged(Result<void> result) {
    failed_ = !result;
    return result;
  }

  ResponseSink& sink_;
  bool failed_ = false;
};

class Drain final : public ByteSink {
 public:
  Result<void> write(ByteSpan bytes) override {
    size_ += bytes.size();
    return size_ <= kDrainedMax ? Result<void>{} : fail(Errc::too_large, "a long body");
  }

 private:
  ByteCount size_ = 0;
};

/// One URL on the way from the first to the last.
struct Hop {
  Url url;
  const Proxy* proxy = nullptr;

  [[nodiscard]] bool is_tls() const { return url.scheme == UrlScheme::https; }
  /// Connections are the same when this is.
  [[nodiscard]] std::string key() const {
    const std::string via =
        proxy == nullptr ? "" : " via " + proxy->host + ' ' + std::to_string(proxy->port);
    return proxy != nullptr && !is_tls() ? via : url.origin() + via;
  }
};

/// An answer whose head has been read.
struct Asked {
  std::unique_ptr<Connection> connection;
  std::unique_ptr<Exchange> exchange;
  ParsedHead head;
};

class Client final : public HttpClient {
 public:
  Client(HttpClientOptions options, ProxyTable proxies, TlsClient tls, Resolver& resolver)
      : options_(std::move(options)),
        proxies_(std::move(proxies)),
        tls_(std::move(tls)),
        resolver_(resolver),
        pool_({.all_max = options_.idle_connections_max,
               .per_key_max = options_.idle_connections_per_origin_max,
               .age_max = options_.idle_connection_age_max}) {}

  Result<ResponseHead> fetch(const FetchRequest& request, ResponseSink& sink) override;

 private:
  /// What stays the same from hop to hop.
  struct Fetch {
    const FetchRequest& request;
    std::string fields;
    Patience patience;
    ResponseSink& sink;
  };

  Result<std::vector<Address>> resolve(const std::string& host,
                                       const Patience& patience,
                                       SteadyTime until);
  Result<std::vector<Address>> permitted(const std::string& host,
                                         const Patience& patience,
                                         SteadyTime until);
  Result<void> check_behind_proxy(const std::string& host, const Patience& patience);
  Result<void> open_tunnel(Connection& connection, const Hop& hop, const Patience& patience);
  Result<std::unique_ptr<Connection>> connect(const Hop& hop, const Patience& patience);
  Result<Asked> ask(const Hop& hop, Fetch& fetch);
  Result<Asked> begin(const Hop& hop, Fetch& fetch, Framing& framing);
  [[nodiscard]] Result<Url> next_url(const Url& from, std::string_view location) const;
  void keep(Asked asked, const Hop& hop, const Framing& framing);
  void drain(Asked asked, const Hop& hop, const Framing& framing);
  Result<ResponseHead> deliver(Asked asked,
                               const Hop& hop,
                               const Framing& framing,
                               ResponseSink& sink);
  /// The next URL, or nothing when `answer` has become the answer.
  Result<std::optional<Url>> visit(const Url& url, Fetch& fetch, ResponseHead& answer);
  [[nodiscard]] ExchangeLimits limits(milliseconds idle) const {
    return {.idle = idle,
            .head_size_max = options_.head_size_max,
            .header_count_max = options_.header_count_max};
  }

  const HttpClientOptions options_;
  const ProxyTable proxies_;
  const TlsClient tls_;
  Resolver& resolver_;
  ConnectionPool pool_;
};

Result<std::vector<Address>> Client::resolve(const std::string& host,
                                             const Patience& patience,
                                             SteadyTime until) {
  if (const auto address = parse_address(host)) {
    return std::vector{*address};
  }
  auto addresses = resolver_.resolve(host, until, patience.stop());
  TRY(patience.check());
  return addresses;
}

/// The addresses that the rules let us ask.
Result<std::vector<Address>> Client::permitted(const std::string& host,
                                               const Patience& patience,
                                               SteadyTime until) {
  TRY_ASSIGN(std::vector<Address> addresses, resolve(host, patience, until));
  Result<void> refused = fail(Errc::unavailable, "the name has no address");
  std::erase_if(addresses, [&](const Address& address) {
    auto checked = options_.rules.check_address(address);
    const bool passed = checked.has_value();
    refused = passed ? std::move(refused) : std::move(checked);
    return !passed;
  });
  if (addresses.empty()) {
    TRY(refused);
  }
  return addresses;
}

Result<void> Client::check_behind_proxy(const std::string& host, const Patience& patience) {
  const milliseconds span = std::min(options_.connect_timeout, kSecondOpinion);
  const auto addresses = resolve(host, patience, patience.in(span));
  TRY(patience.check());
  if (!addresses) { // a name of the proxy's world
    return {};
  }
  for (const Address& address : *addresses) {
    TRY(options_.rules.check_address(address));
  }
  return {};
}

Result<void> Client::open_tunnel(Connection& connection, const Hop& hop, const Patience& patience) {
  Exchange exchange(
      connection, patience, limits(std::min(options_.idle_timeout, options_.connect_timeout)));
  TRY_ASSIGN(const ParsedHead head,
             exchange.ask(format_connect(hop.url, options_.user_agent, *hop.proxy)));
  if (head.status / 100 != 2) {
    return fail(Errc::unavailable, "the proxy answered " + std::to_string(head.status));
  }
  return exchange.has_rest() ? fail(Errc::unavailable, "the proxy speaks before the server")
                             : Result<void>{};
}

Result<std::unique_ptr<Connection>> Client::connect(const Hop& hop, const Patience& patience) {
  const SteadyTime until = patience.in(options_.connect_timeout);
  TRY_ASSIGN(const std::vector<Address> addresses,
             hop.proxy == nullptr ? permitted(hop.url.host, patience, until)
                                  : resolve(hop.proxy->host, patience, until));
  const std::uint16_t port = hop.proxy == nullptr ? hop.url.port : hop.proxy->port;
  TRY_ASSIGN(std::unique_ptr<Connection> connection,
             Connection::open(addresses, port, patience, until));
  if (hop.is_tls() && hop.proxy != nullptr) {
    TRY(open_tunnel(*connection, hop, patience));
  }
  if (hop.is_tls()) {
    TRY(connection->start_tls(tls_, hop.url.host, patience, until));
  }
  return connection;
}

/// On a kept connection first; a server may have closed it just now, and then nothing was answered.
Result<Asked> Client::ask(const Hop& hop, Fetch& fetch) {
  const Proxy* const proxy = hop.is_tls() ? nullptr : hop.proxy;
  const std::string text =
      format_request(fetch.request.method, hop.url, options_.user_agent, fetch.fields, proxy);
  std::unique_ptr<Connection> connection = pool_.take(hop.key());
  for (;;) {
    const bool is_kept = connection != nullptr;
    if (!is_kept) {
      TRY_ASSIGN(connection, connect(hop, fetch.patience));
    }
    auto exchange =
        std::make_unique<Exchange>(*connection, fetch.patience, limits(options_.idle_timeout));
    auto head = exchange->ask(text);
    if (head) {
      return Asked{.connection = std::move(connection),
                   .exchange = std::move(exchange),
                   .head = std::move(*head)};
    }
    TRY(fetch.patience.check());
    if (!is_kept || exchange->is_answered() || head.error().code != Errc::unavailable) {
      return std::unexpected(std::move(head).error());
    }
    exchange.reset();
    connection.reset();
  }
}

Result<Url> Client::next_url(const Url& from, std::string_view location) const {
  auto next = resolve_reference(from, location);
  if (!next) {
    return std::unexpected(std::move(next).error().prefixed("a redirect leads to no URL"));
  }
  const bool is_downgrade = from.scheme == UrlScheme::https && next->scheme == UrlScheme::http;
  return is_downgrade && options_.downgrade == Downgrade::refuse
             ? fail(Errc::unauthorized, "a redirect from https to http is not followed")
             : next;
}

void Client::keep(Asked asked, const Hop& hop, const Framing& framing) {
  if (framing.keeps_connection && !asked.exchange->has_rest()) {
    asked.exchange.reset();
    pool_.put(hop.key(), std::move(asked.connection));
  }
}

void Client::drain(Asked asked, const Hop& hop, const Framing& framing) {
  Drain drain;
  asked.exchange->set_idle(std::min(options_.idle_timeout, kDrainIdle));
  if (framing.keeps_connection && framing.length <= kDrainedMax &&
      asked.exchange->read_body(framing, drain)) {
    keep(std::move(asked), hop, framing);
  }
}

Result<ResponseHead> Client::deliver(Asked asked,
                                     const Hop& hop,
                                     const Framing& framing,
                                     ResponseSink& sink) {
  ResponseHead answer{.status = asked.head.status,
                      .headers = std::move(asked.head.headers),
                      .url = hop.url,
                      .content_length = framing.announced};
  TRY(sink.head(answer));
  Delivery delivery(sink);
  asked.exchange->set_lull({ResponseSink::kLull, [&delivery] { return delivery.lull(); }});
  if (auto read = asked.exchange->read_body(framing, delivery); !read) {
    return std::unexpected(delivery.failed() ? std::move(read).error()
                                             : std::move(read).error().prefixed(hop.url.origin()));
  }
  keep(std::move(asked), hop, framing);
  return answer;
}

Result<Asked> Client::begin(const Hop& hop, Fetch& fetch, Framing& framing) {
  TRY(options_.rules.check_host(hop.url.host));
  if (hop.proxy != nullptr) {
    TRY(check_behind_proxy(hop.url.host, fetch.patience));
  }
  TRY_ASSIGN(Asked asked, ask(hop, fetch));
  if (hop.proxy != nullptr && !hop.is_tls() && asked.head.status == kProxyAuthenticationRequired) {
    return fail(Errc::unavailable, "the proxy asks for credentials");
  }
  TRY_ASSIGN(framing, framing_of(fetch.request.method, asked.head));
  return asked;
}

Result<std::optional<Url>> Client::visit(const Url& url, Fetch& fetch, ResponseHead& answer) {
  const Hop hop{.url = url, .proxy = proxies_.find(url)};
  Framing framing;
  auto asked = begin(hop, fetch, framing);
  if (!asked) {
    return std::unexpected(std::move(asked).error().prefixed(url.origin()));
  }
  const auto location = redirect_target(asked->head);
  if (!location) {
    TRY_ASSIGN(answer, deliver(std::move(*asked), hop, framing, fetch.sink));
    return std::optional<Url>();
  }
  auto next = next_url(url, *location);
  if (!next) {
    return std::unexpected(std::move(next).error().prefixed(url.origin()));
  }
  drain(std::move(*asked), hop, framing);
  return std::optional(std::move(*next));
}

Result<ResponseHead> Client::fetch(const FetchRequest& request, ResponseSink& sink) {
  TRY_ASSIGN(std::string fields, format_fields(request.headers));
  Fetch fetch{.request = request,
              .fields = std::move(fields),
              .patience = Patience(request.deadline, request.stop),
              .sink = sink};
  std::vector<Url> visited{request.url};
  for (;;) {
    ResponseHead answer;
    TRY_ASSIGN(std::optional<Url> next, visit(visited.back(), fetch, answer));
    if (!next) {
      return answer;
    }
    if (visited.size() > options_.redirects_max) {
      return fail(Errc::invalid_argument,
                  "more than " + std::to_string(options_.redirects_max) + " redirects");
    }
    if (std::ranges::find(visited, *next) != visited.end()) {
      return fail(Errc::invalid_argument, "the redirects lead in a circle");
    }
    visited.push_back(std::move(*next));
  }
}

} // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::make(HttpClientOptions options,
                                                     Resolver& resolver) {
  TRY_ASSIGN(ProxyTable proxies, ProxyTable::make(options.proxy));
  TRY_ASSIGN(TlsClient tls, TlsClient::make(options.ca_file));
  return std::make_unique<Client>(std::move(options), std::move(proxies), std::move(tls), resolver);
}

} // namespace pkc::net
