// Credentials: what clients write into Authorization, reduced to tokens that may be meant.
#pragma once

#include "pkc/base/secret.hpp"
#include "pkc/http/message.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {

/// One way to read a header: a token and, for the password of Basic, the user name beside it.
struct Candidate {
  Secret<std::string> token;
  std::optional<std::string> user;
};

struct Credentials {
  bool given = false;                ///< there is an Authorization field
  std::vector<Candidate> candidates; ///< in the order to be tried; empty for a malformed field
};

/// Longer ones are nobody's token, and need not be hashed.
constexpr std::size_t kTokenSizeMax = 1024;

/// Pure. Schemes of any case; Bearer with a token68 (RFC 6750 section 2.1, RFC 9110 section 11.2),
/// Basic (RFC 7617) in either base64 alphabet, padded or not. Of Basic the password is tried first,
/// then the user name; a text without a colon is a user name. Two fields are both read, as the
/// client of Polykit sends Basic of its URL and the Bearer token at once; more than two, and other
/// schemes, count for nothing.
Credentials parse_credentials(const Headers& headers);

} // namespace pkc::http
