#include "credentials.hpp"

#include "text.hpp"

#include "pkc/base/codec.hpp"

#include <algorithm>
#include <utility>

namespace pkc::http {

namespace {

constexpr std::size_t kFieldsMax = 2;
/// Base64 of a user name and a token.
constexpr std::size_t kBasicSizeMax = 2 * kTokenSizeMax;

constexpr CharSet kToken68Chars =
    CharSet("-._~+/=").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');

void add_candidate(std::string_view token, std::optional<std::string> user, Credentials& out) {
  if (!token.empty() && token.size() <= kTokenSizeMax) {
    out.candidates.push_back({Secret<std::string>(std::string(token)), std::move(user)});
  }
}

void read_basic(std::string_view text, Credentials& out) {
  if (text.size() > kBasicSizeMax) {
    return;
  }
  auto decoded = decode_base64(text);
  if (!decoded) {
    return;
  }
  const Secret<std::string> pair(*std::move(decoded));
  const std::string_view shown = pair.reveal();
  const std::size_t colon = std::min(shown.find(':'), shown.size());
  const std::string_view user = shown.substr(0, colon);
  if (colon < shown.size()) {
    add_candidate(shown.substr(colon + 1), std::string(user), out);
  }
  add_candidate(user, std::nullopt, out);
}

void read_field(std::string_view value, Credentials& out) {
  const std::size_t blank = std::min(value.find(' '), value.size());
  const std::string_view scheme = value.substr(0, blank);
  const std::string_view rest = trim_ows(value.substr(blank));
  if (equals_ignoring_case(scheme, "Bearer") && kToken68Chars.has_all(rest)) {
    add_candidate(rest, std::nullopt, out);
  } else if (equals_ignoring_case(scheme, "Basic")) {
    read_basic(rest, out);
  }
}

} // namespace

Credentials parse_credentials(const Headers& headers) {
  Credentials credentials;
  std::size_t fields = 0;
  for (const auto& [name, value] : headers.fields()) {
    if (!equals_ignoring_case(name, "Authorization")) {
      continue;
    }
    credentials.given = true;
    if (++fields > kFieldsMax) {
      credentials.candidates.clear();
      break;
    }
    read_field(value, credentials);
  }
  return credentials;
}

} // namespace pkc::http
