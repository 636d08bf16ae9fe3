// Fuzz target: the Authorization fields of a request, a line each.
#include "credentials.hpp"
#include "fuzz.hpp"

#include "pkc/http/auth.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace {

using pkc::fuzz::require;

/// Something that lets a token in is found, and nothing else is let in.
void check_decision(const pkc::http::Headers& headers, const pkc::http::Credentials& credentials) {
  static pkc::http::AccessControl control(pkc::http::AccessRules{
      .tokens = {{.name = "t",
                  .digest = pkc::sha256(pkc::as_bytes("token")),
                  .grants = {{.scopes = {pkc::http::Scope::read}, .spaces = {}, .projects = {}}},
                  .expires = {},
                  .user = {},
                  .limits = {}}},
      .anonymous = {}});
  bool expected = false;
  for (const pkc::http::Candidate& candidate : credentials.candidates) {
    expected = expected || candidate.token.reveal() == "token";
  }
  pkc::http::Request request;
  request.headers = headers;

  const pkc::http::Response response =
      control.serve(request, pkc::http::RouteAccess::read("s"), [](pkc::http::Request& allowed) {
        require(allowed.principal != nullptr && allowed.principal->name == "t");
        return pkc::http::make_response(200);
      });

  require((response.status == 200) == expected);
  require(expected || response.status == 401);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  pkc::http::Headers headers;
  std::size_t fields = 0;
  while (!input.empty() && fields < 4) {
    const std::string_view line = input.substr(0, input.find('\n'));
    headers.add("Authorization", line);
    input.remove_prefix(line.size() + (line.size() < input.size() ? 1 : 0));
    ++fields;
  }

  const pkc::http::Credentials credentials = pkc::http::parse_credentials(headers);

  require(credentials.given == (fields > 0));
  require(credentials.candidates.size() <= 4);
  for (const pkc::http::Candidate& candidate : credentials.candidates) {
    const std::string_view token = candidate.token.reveal();
    require(!token.empty() && token.size() <= pkc::http::kTokenSizeMax);
    require(!candidate.user || !candidate.user->contains(':'));
  }
  check_decision(headers, credentials);
  return 0;
}
