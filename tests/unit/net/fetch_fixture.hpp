// What the tests of the client share: names that lead where a test says, and a sink that remembers.
#pragma once

#include "pkc/base/guarded.hpp"
#include "pkc/net/http_client.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::test {

/// Thread-safe.
class TableResolver final : public net::Resolver {
 public:
  /// What the next lookups of `host` give, one after the other; the last one again and again. No
  /// addresses: there is no such name.
  void set(const std::string& host, std::vector<std::vector<std::string>> answers) {
    (*table_.lock())[host] = {.answers = std::move(answers)};
  }
  [[nodiscard]] std::size_t lookups(const std::string& host) {
    return (*table_.lock())[host].lookups;
  }

  Result<std::vector<net::Address>> resolve(const std::string& host,
                                            SteadyTime /*deadline*/,
                                            const std::stop_token& /*stop*/) override {
    const auto table = table_.lock();
    Entry& entry = (*table)[host];
    const std::size_t number = entry.lookups++;
    if (entry.answers.empty()) {
      return fail(Errc::unavailable, "no such name");
    }
    std::vector<net::Address> addresses;
    for (const auto& text : entry.answers.at(std::min(number, entry.answers.size() - 1))) {
      addresses.push_back(net::parse_address(text).value());
    }
    return addresses.empty() ? fail(Errc::unavailable, "no such name")
                             : Result<std::vector<net::Address>>(std::move(addresses));
  }

 private:
  struct Entry {
    std::vector<std::vector<std::string>> answers;
    std::size_t lookups = 0;
  };
  Guarded<std::map<std::string, Entry>> table_;
};

class Collector final : public net::ResponseSink {
 public:
  std::vector<net::ResponseHead> heads;
  std::string body;
  std::optional<Error> head_error;
  std::optional<Error> write_error;
  std::function<void()> on_write;

  Result<void> head(const net::ResponseHead& head) override {
    heads.push_back(head);
    return head_error ? Result<void>(std::unexpected(*head_error)) : Result<void>{};
  }
  Result<void> write(ByteSpan bytes) override {
    body += as_text(bytes);
    if (on_write) {
      on_write();
    }
    return write_error ? Result<void>(std::unexpected(*write_error)) : Result<void>{};
  }
};

/// A client that may reach this machine by IPv4 and IPv6, and knows "origin.test".
class FetchFixture {
 public:
  FetchFixture() {
    resolver.set("origin.test", {{"127.0.0.1"}});
    resolver.set("localhost", {{"127.0.0.1"}});
    options.user_agent = "test/1";
    allow({"127.0.0.1", "::1"});
  }

  void allow(std::vector<std::string> addresses, std::vector<std::string> hosts_denied = {}) {
    options.rules = net::AddressRules::make({.hosts_denied = std::move(hosts_denied),
                                             .addresses_allowed = std::move(addresses)})
                        .value();
  }

  net::HttpClient& client() {
    if (!client_) {
      client_ = net::HttpClient::make(options, resolver).value();
    }
    return *client_;
  }

  Result<net::ResponseHead> get(const std::string& url, Collector& sink) {
    return client().fetch({.url = parse_url(url).value()}, sink);
  }
  /// For the error, or when only the head matters.
  Result<net::ResponseHead> get(const std::string& url) {
    Collector sink;
    return get(url, sink);
  }

  TableResolver resolver;
  net::HttpClientOptions options; ///< until the first client()

 private:
  std::unique_ptr<net::HttpClient> client_;
};

inline std::string url_of(std::uint16_t port,
                          std::string_view target = "/",
                          std::string_view host = "origin.test",
                          std::string_view scheme = "http") {
  return std::string(scheme) + "://" + std::string(host) + ":" + std::to_string(port) +
         std::string(target);
}

} // namespace pkc::test
