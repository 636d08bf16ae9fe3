#include "request_text.hpp"

#include "pkc/base/http_text.hpp"

#include <algorithm>
#include <array>

namespace pkc::net {

namespace {

/// Said by the client itself, about this connection only, or nobody else's business.
constexpr std::array<std::string_view, 16> kOwnFields{"Host",
                                                      "Connection",
                                                      "Keep-Alive",
                                                      "Proxy-Connection",
                                                      "User-Agent",
                                                      "Accept-Encoding",
                                                      "Content-Length",
                                                      "Transfer-Encoding",
                                                      "TE",
                                                      "Trailer",
                                                      "Upgrade",
                                                      "Expect",
                                                      "Authorization",
                                                      "Proxy-Authorization",
                                                      "Cookie",
                                                      "Cookie2"};

bool is_own(std::string_view name) {
  return std::ranges::any_of(
      kOwnFields, [name](std::string_view own) { return equals_ignoring_case(own, name); });
}

bool is_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f');
  });
}

void add_field(std::string& text, std::string_view name, std::string_view value) {
  text.append(name).append(": ").append(value).append("\r\n");
}

void add_authorization(std::string& text, const Proxy* proxy) {
  if (proxy != nullptr && !proxy->authorization.empty()) {
    add_field(text, "Proxy-Authorization", proxy->authorization);
  }
}

} // namespace

Result<std::string> format_fields(const HttpHeaders& headers) {
  std::string text;
  for (const auto& [name, value] : headers.fields()) {
    if (!is_token(name) || !is_value(value)) {
      return fail(Errc::invalid_argument, "a header of the request is none");
    }
    if (!is_own(name)) {
      add_field(text, name, value);
    }
  }
  if (!headers.get("Accept")) {
    add_field(text, "Accept", "*/*");
  }
  return text;
}

std::string format_request(FetchMethod method,
                           const Url& url,
                           std::string_view user_agent,
                           std::string_view fields,
                           const Proxy* proxy) {
  std::string text = method == FetchMethod::head ? "HEAD " : "GET ";
  text.append(proxy == nullptr ? url.target : url.text()).append(" HTTP/1.1\r\n");
  add_field(text, "Host", url.authority());
  if (!user_agent.empty()) {
    add_field(text, "User-Agent", user_agent);
  }
  add_field(text, "Accept-Encoding", "identity");
  add_authorization(text, proxy);
  return text.append(fields).append("\r\n");
}

std::string format_connect(const Url& url, std::string_view user_agent, const Proxy& proxy) {
  constexpr std::string_view kScheme = "https://";
  const std::string place = url.origin().substr(kScheme.size());
  std::string text = "CONNECT " + place + " HTTP/1.1\r\n";
  add_field(text, "Host", place);
  if (!user_agent.empty()) {
    add_field(text, "User-Agent", user_agent);
  }
  add_authorization(text, &proxy);
  return text.append("\r\n");
}

} // namespace pkc::net
