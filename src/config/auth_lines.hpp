// Where the tokens of an auth file stand, for those who edit it.
#pragma once

#include "pkc/config/auth_file.hpp"

#include <cstddef>
#include <expected>
#include <vector>

namespace pkc::config {

/// Lines of a file, from 1; both belong to it.
struct TokenLines {
  std::size_t first = 0;
  std::size_t last = 0;
};

struct ReadAuthFile {
  AuthFile file;
  std::vector<TokenLines> lines; ///< of file.tokens
};

/// parse_auth_file(), with the places. Pure.
std::expected<ReadAuthFile, Problems> read_auth_file(const ConfigFile& file);

} // namespace pkc::config
