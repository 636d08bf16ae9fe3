// The auth file: tokens and what anybody may do without one.
//
//     anonymous:                      # rights without a token; left out: none
//       - scopes: [read, metrics]     # of read, write, metrics, admin (not here)
//         spaces: [nix]               # left out: every space
//         projects: [acme/app]        # left out: every project, and what belongs to none
//     tokens:
//       - name: "ci"
//         hash: "sha256:<64 hexadecimal digits>"   # of the token's characters
//         grants:                     # like anonymous
//           - scopes: [read, write]
//         expires: "2027-01-31T12:00:00Z"          # or a date; left out: never
//         user: "ci"                  # must come with it in Basic; left out: any
//         requests_per_second: 100    # left out or 0: no limit
//         requests_burst: 300         # left out: as requests_per_second
//         read_bytes_per_second: 50MiB             # likewise, as are the two below; 1KiB at least
//         write_bytes_per_second: 20MiB
//         write_bytes_per_day: 10GiB
//     anonymous_limits:               # of all together who have no token; the five keys above
//       requests_per_second: 20
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/config/settings.hpp"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::config {

enum class AuthScope : std::uint8_t {
  read,
  write,
  metrics,
  admin,
};

/// "read", "write", "metrics", "admin".
std::string_view to_string(AuthScope scope);

struct AuthGrant {
  std::vector<AuthScope> scopes;     ///< at least one
  std::vector<std::string> spaces;   ///< empty: every space
  std::vector<std::string> projects; ///< empty: every project, and what belongs to none
  friend bool operator==(const AuthGrant&, const AuthGrant&) = default;
};

/// 0: no limit.
struct AuthLimits {
  std::uint32_t requests_per_second = 0;
  std::uint32_t requests_burst = 0;
  ByteCount read_bytes_per_second = 0;
  ByteCount write_bytes_per_second = 0;
  ByteCount write_bytes_per_day = 0;
  friend bool operator==(const AuthLimits&, const AuthLimits&) = default;
};

/// The least that a limit of bytes per second may be.
inline constexpr ByteCount kByteRateMin = 1 * kKiB;

struct AuthToken {
  std::string name; ///< 1 to 64 letters, digits and ._@-
  Sha256 digest;    ///< of the token's characters
  std::vector<AuthGrant> grants;
  std::optional<WallTime> expires;
  std::string user; ///< empty: any
  AuthLimits limits;
  friend bool operator==(const AuthToken&, const AuthToken&) = default;
};

struct AuthFile {
  std::vector<AuthToken> tokens;
  std::vector<AuthGrant> anonymous;
  AuthLimits anonymous_limits;
  friend bool operator==(const AuthFile&, const AuthFile&) = default;
};

/// Pure. Problems are unknown and repeated keys, missing and malformed values, names and hashes
/// that occur twice, and a file that is no YAML: all of them with their lines, up to a hundred.
/// What stands in the place of a hash is never quoted, as it may be a token.
std::expected<AuthFile, Problems> parse_auth_file(const ConfigFile& file);

/// The same, read from the disk; blocks on it. A link is followed. Further problems: a file that is
/// absent or unreadable, is larger than a settings file may be, or may be written by everybody.
std::expected<AuthFile, Problems> load_auth_file(const std::string& path, FileSystem& file_system);

/// Whether `text` will do as a part of an AuthToken; else a sentence that goes on from it ("is
/// not …"). Pure.
Result<void> check_token_name(std::string_view text);
Result<void> check_space_name(std::string_view text);
Result<void> check_project_name(std::string_view text);
Result<void> check_user_name(std::string_view text);
Result<AuthScope> parse_auth_scope(std::string_view text);

/// The text of `file` with another token in it, or with one less; all else stays as it is, comments
/// included. Pure. Problems: those of the file, a name that is there already or is not there, and a
/// file that is written in a way (a list in brackets, for instance) in which lines cannot be added
/// or taken away: nothing is guessed, the result is read again and compared.
std::expected<std::string, Problems> with_token(const ConfigFile& file, const AuthToken& token);
std::expected<std::string, Problems> without_token(const ConfigFile& file, std::string_view name);

/// What becomes of a file's text.
using AuthEdit = std::function<std::expected<std::string, Problems>(const ConfigFile&)>;

/// Whether an edit may make the file.
enum class Absent : std::uint8_t {
  is_problem,
  is_empty
};

/// Replaces the file by what `edit` makes of it: at once or not at all, whatever happens, and one
/// process after another. It keeps owner, group and mode; a new one belongs to us and only we may
/// read it. Blocks on the disk and on another edit. Problems: those of load_auth_file() and of
/// `edit`, and what the system has against it; then the file is as it was.
std::expected<void, Problems> edit_auth_file(const std::string& path,
                                             Absent absent,
                                             FileSystem& file_system,
                                             const AuthEdit& edit);

} // namespace pkc::config
