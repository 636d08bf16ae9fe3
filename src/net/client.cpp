#include "pkc/net/client.hpp"

#include "library_client.hpp"

#include "pkc/base/clock.hpp"

#include <httplib.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <limits>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace pkc::net {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr unsigned kHttpPort = 80;
constexpr unsigned kHttpsPort = 443;
constexpr unsigned kPortMax = 65535;

bool is_unix(const Origin& origin) {
  return origin.host.starts_with(kUnixPrefix);
}

enum class Whole : std::uint8_t {
  yes, ///< the timeout is that of the whole exchange
  no
};

void set_up(httplib::ClientImpl& client, const Limits& limits, Whole whole = Whole::yes) {
  // The sum is bounded by the last of them, but does not count the time to connect.
  client.set_connection_timeout(limits.timeout);
  client.set_read_timeout(limits.timeout);
  client.set_write_timeout(limits.timeout);
  if (whole == Whole::yes) {
    client.set_max_timeout(limits.timeout);
    client.set_payload_max_length(limits.body_size_max);
  } else {
    client.set_payload_max_length(std::numeric_limits<std::size_t>::max());
  }
  client.set_keep_alive(false);
}

/// One code for all: the library calls a deadline that passed while it read a failed read.
std::unexpected<Error> failure(httplib::Error error, const Origin& origin) {
  return fail(Errc::unavailable, origin.text() + ": " + httplib::to_string(error));
}

} // namespace

std::string Origin::text() const {
  if (is_unix(*this)) {
    return host;
  }
  const bool is_v6 = host.find(':') != std::string::npos;
  return std::string(scheme == Scheme::https ? "https://" : "http://") +
         (is_v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

Result<Answer> get(const Origin& origin, const std::string& target, const Limits& limits) {
  return exchange(origin, {.method = "GET", .target = target, .token = {}}, limits);
}

Result<Answer> exchange(const Origin& origin, const Request& request, const Limits& limits) try {
  const auto client = make_library_client(origin);
  set_up(*client, limits);
  httplib::Request message;
  message.method = request.method;
  message.path = request.target;
  message.headers = headers_with(request.token);
  // The library sets it only in the functions that are named after a method. Without it the whole
  // exchange would seem to have begun at the beginning of time, and have no end.
  message.start_time_ = system_clock().steady_now();
  const httplib::Result result = client->send(message);
  if (!result) {
    return failure(result.error(), origin);
  }
  return Answer{.status = result->status, .body = result->body};
} catch (const std::exception& error) {
  return fail(Errc::unavailable, origin.text() + ": " + error.what());
}

Result<Answer> download(const Origin& origin,
                        const Request& request,
                        ByteSink& sink,
                        const std::function<void(ByteCount)>& on_length,
                        const Limits& limits) try {
  const auto client = make_library_client(origin);
  set_up(*client, limits, Whole::no);
  Answer answer;
  Result<void> written;
  const auto on_head = [&](const httplib::Response& response) {
    answer.status = response.status;
    if (on_length && answer.status == 200 && response.has_header("Content-Length")) {
      on_length(response.get_header_value_u64("Content-Length"));
    }
    return true;
  };
  const auto on_bytes = [&](const char* data, std::size_t size) {
    if (answer.status == 200) {
      written = sink.write(as_bytes(std::string_view(data, size)));
      return written.has_value();
    }
    answer.body.append(data, size);
    return answer.body.size() <= limits.body_size_max;
  };
  const httplib::Result result =
      client->Get(request.target, headers_with(request.token), on_head, on_bytes);
  TRY(written);
  return result ? Result<Answer>(std::move(answer)) : failure(result.error(), origin);
} catch (const std::exception& error) {
  return fail(Errc::unavailable, origin.text() + ": " + error.what());
}

Result<Answer> upload(const Origin& origin,
                      const Request& request,
                      File& file,
                      ByteCount size,
                      const Limits& limits) try {
  const auto client = make_library_client(origin);
  set_up(*client, limits, Whole::no);
  std::string buffer(kStreamBufferSize, '\0');
  Result<std::size_t> read = std::size_t{0};
  const auto give = [&](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
    const auto wanted = std::as_writable_bytes(std::span(buffer.data(), buffer.size()));
    read = file.read_at(offset, wanted.first(std::min(length, wanted.size())));
    return read && *read > 0 && sink.write(buffer.data(), *read);
  };
  const httplib::Result result = client->Put(
      request.target, headers_with(request.token), size, give, "application/octet-stream");
  TRY(read);
  return result ? Result<Answer>(Answer{.status = result->status, .body = result->body})
                : failure(result.error(), origin);
} catch (const std::exception& error) {
  return fail(Errc::unavailable, origin.text() + ": " + error.what());
}

Result<void> shake_hands(const Origin& origin, const Limits& limits) try {
  const auto client = make_tls_client(origin);
  set_up(*client, limits);
  // The library knows requests only. This is called behind the handshake, and ends the request.
  bool agreed = false;
  client->set_session_verifier([&agreed](httplib::tls::session_t /*session*/) {
    agreed = true;
    return httplib::SSLVerifierResponse::CertificateRejected;
  });
  const httplib::Result result = client->Get("/");
  return agreed ? Result<void>{} : failure(result.error(), origin);
} catch (const std::exception& error) {
  return fail(Errc::unavailable, origin.text() + ": " + error.what());
}

Result<Origin> parse_origin(std::string_view url) {
  constexpr std::string_view kExpected =
      "is not http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH";
  const auto wrong = [&] { return fail(Errc::invalid_argument, std::string(kExpected)); };
  if (url.starts_with(kUnixPrefix)) {
    return url.substr(kUnixPrefix.size()).starts_with('/')
               ? Result<Origin>(Origin{.host = std::string(url)})
               : wrong();
  }
  const bool is_https = url.starts_with("https://");
  if (!is_https && !url.starts_with("http://")) {
    return wrong();
  }
  std::string_view host = url.substr(url.find("//") + 2);
  host = host.ends_with('/') ? host.substr(0, host.size() - 1) : host;
  const std::size_t bracket = host.starts_with('[') ? host.find(']') : 0;
  const std::size_t colon = bracket == std::string_view::npos ? bracket : host.find(':', bracket);
  unsigned port = is_https ? kHttpsPort : kHttpPort;
  if (colon != std::string_view::npos) {
    const std::string_view digits = host.substr(colon + 1);
    const char* const begin = digits.data();
    const char* const end = begin + digits.size();
    const auto [rest, error] = std::from_chars(begin, end, port);
    if (error != std::errc{} || rest != end || port == 0 || port > kPortMax) {
      return wrong();
    }
    host = host.substr(0, colon);
  }
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  host = bracketed ? host.substr(1, host.size() - 2) : host;
  if (host.empty() || host.find_first_of("/@?# []") != std::string_view::npos) {
    return wrong();
  }
  return Origin{.scheme = is_https ? Scheme::https : Scheme::http,
                .host = std::string(host),
                .port = static_cast<std::uint16_t>(port)};
}

std::string address_of_listener(const std::string& bind) {
  const bool bracketed = bind.size() > 2 && bind.front() == '[' && bind.back() == ']';
  std::string host = bracketed ? bind.substr(1, bind.size() - 2) : bind;
  in_addr v4{};
  in6_addr v6{};
  // inet_aton, as the resolver does for the server: "0" is an address, too.
  if (::inet_aton(host.c_str(), &v4) != 0 && v4.s_addr == htonl(INADDR_ANY)) {
    return "127.0.0.1";
  }
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6)) {
    return "::1";
  }
  return host;
}

} // namespace pkc::net
