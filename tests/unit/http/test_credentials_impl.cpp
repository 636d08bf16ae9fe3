#include "credentials.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/codec.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {
namespace {

Credentials parse(const std::vector<std::string>& values) {
  Headers headers;
  headers.add("Host", "x");
  for (const std::string& value : values) {
    headers.add("aUTHORIZATION", value);
  }
  return parse_credentials(headers);
}

/// "token", or "user>token" with the user name beside it; "," between two.
std::string shown(const Credentials& credentials) {
  std::string text;
  for (const Candidate& candidate : credentials.candidates) {
    text += text.empty() ? "" : ",";
    text += candidate.user ? *candidate.user + ">" : "";
    text += candidate.token.reveal();
  }
  return text;
}

std::string basic(std::string_view pair) {
  return "Basic " + encode_base64url(as_bytes(pair));
}

TEST_SUITE("http::credentials") {
  TEST_CASE("parse: nothing was given without the header") {
    CHECK_FALSE(parse({}).given);
    CHECK(parse({""}).given);
  }

  TEST_CASE("parse: every way in which clients write a token") {
    struct {
      std::string name;
      std::string value;
      std::string candidates;
    } const rows[] = {
        {"bearer", "Bearer pkc_a-Z_0.9~+/=", "pkc_a-Z_0.9~+/="},
        {"any case", "bEARER abc", "abc"},
        {"several blanks", "Bearer   abc", "abc"},
        {"password", "Basic dXNlcjpwYXNz", "user>pass,user"},
        {"password, any case", "bAsIc dXNlcjpwYXNz", "user>pass,user"},
        {"padded", "Basic dXNlcjpwYXM=", "user>pas,user"},
        {"not padded", "Basic dXNlcjpwYXM", "user>pas,user"},
        {"standard alphabet", "Basic dTpwfn5+Pz8/", R"(u>p~~~???,u)"},
        {"URL-safe alphabet", "Basic dTpwfn5-Pz8_", R"(u>p~~~???,u)"},
        {"as user with an empty password", basic("tok:"), "tok"},
        {"as user alone", basic("tok"), "tok"},
        {"as password without a user", basic(":tok"), ">tok"},
        {"a colon in the password", basic("u:a:b"), "u>a:b,u"},
        {"any bytes", basic("\xff:\x01"), "\xff>\x01,\xff"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);

      const Credentials credentials = parse({row.value});

      CHECK(credentials.given);
      CHECK(shown(credentials) == row.candidates);
    }
  }

  TEST_CASE("parse: what is malformed has no candidates") {
    for (const std::string& value : std::vector<std::string>{"",
                                                             "abc",
                                                             "Bearer",
                                                             "Bearer ",
                                                             "Bearer a b",
                                                             "Bearer a,b",
                                                             "Bearer \"a\"",
                                                             "Bearer\tabc",
                                                             "Basic",
                                                             "Basic ",
                                                             "Basic dXNlcjpwYXM==",
                                                             "Basic dXNlcjpw YXM",
                                                             "Basic =",
                                                             "Basic Og==", // ":"
                                                             "Digest username=\"a\"",
                                                             "Negotiate dXNlcjpwYXM="}) {
      CAPTURE(value);

      CHECK(parse({value}).candidates.empty());
    }
  }

  TEST_CASE("parse: two fields are both read, more are none") {
    CHECK(shown(parse({"Basic dXNlcjpwYXNz", "Bearer abc"})) == "user>pass,user,abc");
    CHECK(shown(parse({"nonsense", "Bearer abc"})) == "abc");
    CHECK(shown(parse({"Bearer a", "Bearer b", "Bearer c"})).empty());
  }

  TEST_CASE("parse: what is longer than any token is not taken") {
    CHECK(shown(parse({"Bearer " + std::string(kTokenSizeMax, 'a')})).size() == kTokenSizeMax);
    CHECK(shown(parse({"Bearer " + std::string(kTokenSizeMax + 1, 'a')})).empty());
    CHECK(shown(parse({basic("u:" + std::string(kTokenSizeMax + 1, 'a'))})) == "u");
    CHECK(shown(parse({basic(std::string(2 * kTokenSizeMax, 'a') + ":b")})).empty());
  }
}

} // namespace
} // namespace pkc::http
