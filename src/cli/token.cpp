// token create, list, revoke: the auth file, edited.
#include "admin_console.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/codec.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/random.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/secret.hpp"
#include "pkc/config/auth_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::cli {
namespace {

using nlohmann::ordered_json;

/// A prefix that scanners for leaked secrets can be taught.
constexpr std::string_view kTokenPrefix = "pkc_";
constexpr std::size_t kTokenBytes = 32;

constexpr std::string_view kReloadHint =
    "A running server takes it over at SIGHUP: systemctl reload polykit-cache, or kill -HUP.\n";

/// The path of the auth file; nothing after a problem was printed.
std::optional<std::string> auth_file_of(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return std::nullopt;
  }
  if (loaded->settings.auth_file.empty()) {
    print_problems({"no auth file is named: use --auth-file FILE, or set auth_file"});
    return std::nullopt;
  }
  return loaded->settings.auth_file;
}

std::vector<std::string> values_of(const Arguments& arguments, std::string_view option) {
  std::vector<std::string> values;
  for (const auto& [name, text] : arguments.options) {
    std::string_view rest = text;
    while (name == option && !rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      values.emplace_back(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return values;
}

/// Collects what options say about a token, and what is wrong with them. Used once.
class TokenOptions {
 public:
  explicit TokenOptions(Arguments arguments) : arguments_(std::move(arguments)) {}

  config::AuthToken read();
  [[nodiscard]] const config::Problems& problems() const { return arguments_.problems; }

 private:
  std::vector<std::string> checked(std::string_view option,
                                   Result<void> (*check)(std::string_view));
  std::string single(std::string_view option, Result<void> (*check)(std::string_view));
  std::optional<WallTime> expiry();
  config::AuthLimits limits();
  void report(std::string_view option, std::string_view value, std::string_view problem) {
    arguments_.problems.push_back("--" + std::string(option) + ": \"" + std::string(value) + "\" " +
                                  std::string(problem));
  }

  Arguments arguments_;
};

std::vector<std::string> TokenOptions::checked(std::string_view option,
                                               Result<void> (*check)(std::string_view)) {
  std::vector<std::string> values = values_of(arguments_, option);
  for (const std::string& value : values) {
    if (const auto sound = check(value); !sound) {
      report(option, value, sound.error().message);
    }
  }
  return values;
}

std::string TokenOptions::single(std::string_view option, Result<void> (*check)(std::string_view)) {
  const auto value = arguments_.value(option);
  if (value) {
    if (const auto sound = check(*value); !sound) {
      report(option, *value, sound.error().message);
    }
  }
  return value.value_or("");
}

/// A time, or a duration from now on.
std::optional<WallTime> TokenOptions::expiry() {
  const auto value = arguments_.value("expires");
  if (!value) {
    return std::nullopt;
  }
  const WallTime now = system_clock().wall_now();
  const auto duration = parse_duration(*value);
  const auto time = duration
                        ? std::optional(now + std::chrono::floor<std::chrono::seconds>(*duration))
                        : parse_utc(*value);
  if (!time || *time <= now) {
    report("expires", *value, "is neither a duration such as 90d nor a time to come");
  }
  return time;
}

config::AuthToken TokenOptions::read() {
  config::AuthToken token;
  token.name = single("name", config::check_token_name);
  if (!arguments_.has("name")) {
    arguments_.problems.emplace_back("token create needs --name NAME");
  }
  config::AuthGrant grant;
  for (const std::string& scope : values_of(arguments_, "scope")) {
    if (const auto parsed = config::parse_auth_scope(scope)) {
      grant.scopes.push_back(*parsed);
    } else {
      report("scope", scope, parsed.error().message);
    }
  }
  if (values_of(arguments_, "scope").empty()) {
    arguments_.problems.emplace_back("token create needs --scope, such as --scope read,write");
  }
  grant.spaces = checked("space", config::check_space_name);
  grant.projects = checked("project", config::check_project_name);
  token.grants.push_back(std::move(grant));
  token.expires = expiry();
  token.user = single("user", config::check_user_name);
  token.limits = limits();
  return token;
}

config::AuthLimits TokenOptions::limits() {
  constexpr NumberRange kRates{.initial = 0, .min = 0, .max = 1'000'000};
  const auto rate = [&](std::string_view option) {
    return static_cast<std::uint32_t>(take_number(arguments_, option, kRates));
  };
  const auto size = [&](std::string_view option, ByteCount min) -> ByteCount {
    const auto value = arguments_.value(option);
    const auto bytes = value ? parse_byte_count(*value) : Result<ByteCount>(0);
    if (bytes && (*bytes == 0 || *bytes >= min)) {
      return *bytes;
    }
    report(option,
           *value,
           bytes ? "is less than " + format_byte_count(min) : "is not a size such as 10GiB");
    return 0;
  };
  const config::AuthLimits limits{
      .requests_per_second = rate("requests-per-second"),
      .requests_burst = rate("requests-burst"),
      .read_bytes_per_second = size("read-bytes-per-second", config::kByteRateMin),
      .write_bytes_per_second = size("write-bytes-per-second", config::kByteRateMin),
      .write_bytes_per_day = size("write-bytes-per-day", 0)};
  if (limits.requests_burst > 0 && limits.requests_per_second == 0) {
    arguments_.problems.emplace_back("--requests-burst needs --requests-per-second");
  }
  return limits;
}

Result<Secret<std::string>> make_secret() {
  std::array<std::byte, kTokenBytes> bytes{};
  TRY(fill_random(bytes));
  Secret<std::string> secret(std::string(kTokenPrefix) + encode_base64url(bytes));
  wipe(bytes.data(), bytes.size());
  return secret;
}

int print_failure(const config::Problems& problems) {
  for (const std::string& problem : problems) {
    print_error("polykit-cache: " + problem + "\n");
  }
  return kExitFailed;
}

/// "read,write polykit,nix acme/app; …".
std::string shown_grants(const std::vector<config::AuthGrant>& grants) {
  const auto joined = [](const std::vector<std::string>& values) {
    std::string text;
    for (const std::string& value : values) {
      text.append(text.empty() ? "" : ",").append(value);
    }
    return text;
  };
  std::string text;
  for (const config::AuthGrant& grant : grants) {
    std::vector<std::string> scopes;
    scopes.reserve(grant.scopes.size());
    for (const config::AuthScope scope : grant.scopes) {
      scopes.emplace_back(to_string(scope));
    }
    text.append(text.empty() ? "" : "; ").append(joined(scopes));
    text.append(" in ").append(grant.spaces.empty() ? "every space" : joined(grant.spaces));
    text.append(grant.projects.empty() ? "" : " of " + joined(grant.projects));
  }
  return text;
}

std::string shown_expiry(const config::AuthToken& token) {
  if (!token.expires) {
    return "never";
  }
  const bool over = *token.expires <= system_clock().wall_now();
  return format_utc(*token.expires) + (over ? " (expired)" : "");
}

/// "100/s, reads 50MiB/s, writes 10GiB/day"; empty without limits.
std::string shown_limits(const config::AuthLimits& limits) {
  std::string text;
  const auto add = [&](bool limited, const std::string& limit) {
    text.append(!limited || text.empty() ? "" : ", ").append(limited ? limit : "");
  };
  const auto size = [](ByteCount bytes) { return format_byte_count(bytes); };
  add(limits.requests_per_second > 0, std::to_string(limits.requests_per_second) + " requests/s");
  add(limits.read_bytes_per_second > 0, "reads " + size(limits.read_bytes_per_second) + "/s");
  add(limits.write_bytes_per_second > 0, "writes " + size(limits.write_bytes_per_second) + "/s");
  add(limits.write_bytes_per_day > 0, "writes " + size(limits.write_bytes_per_day) + "/day");
  return text;
}

std::string text_of(const config::AuthFile& file) {
  std::vector<std::vector<std::string>> rows = {{"name", "rights", "expires", "limits"}};
  for (const config::AuthToken& token : file.tokens) {
    rows.push_back(
        {token.name, shown_grants(token.grants), shown_expiry(token), shown_limits(token.limits)});
  }
  if (!file.anonymous.empty()) {
    rows.push_back(
        {"(anybody)", shown_grants(file.anonymous), "never", shown_limits(file.anonymous_limits)});
  }
  return table_of(rows, {false, false, false, false});
}

ordered_json json_of(const std::vector<config::AuthGrant>& grants) {
  ordered_json list = ordered_json::array();
  for (const config::AuthGrant& grant : grants) {
    ordered_json scopes = ordered_json::array();
    for (const config::AuthScope scope : grant.scopes) {
      scopes.push_back(to_string(scope));
    }
    const auto or_null = [](const std::vector<std::string>& names) {
      return names.empty() ? ordered_json() : ordered_json(names);
    };
    list.push_back({{"scopes", scopes},
                    {"spaces", or_null(grant.spaces)},
                    {"projects", or_null(grant.projects)}});
  }
  return list;
}

ordered_json json_of(const config::AuthLimits& limits) {
  const auto or_null = [](std::uint64_t limit) {
    return limit == 0 ? ordered_json() : ordered_json(limit);
  };
  return {{"requests_per_second", or_null(limits.requests_per_second)},
          {"requests_burst", or_null(limits.requests_burst)},
          {"read_bytes_per_second", or_null(limits.read_bytes_per_second)},
          {"write_bytes_per_second", or_null(limits.write_bytes_per_second)},
          {"write_bytes_per_day", or_null(limits.write_bytes_per_day)}};
}

/// Null stands for "every" and for "no limit". Hashes are in the file, where they are of use.
std::string json_of(const config::AuthFile& file) {
  ordered_json tokens = ordered_json::array();
  for (const config::AuthToken& token : file.tokens) {
    tokens.push_back(
        {{"name", token.name},
         {"grants", json_of(token.grants)},
         {"expires", token.expires ? ordered_json(format_utc(*token.expires)) : ordered_json()},
         {"expired", token.expires && *token.expires <= system_clock().wall_now()},
         {"user", token.user.empty() ? ordered_json() : ordered_json(token.user)},
         {"limits", json_of(token.limits)}});
  }
  const ordered_json document = {
      {"tokens", tokens},
      {"anonymous",
       {{"grants", json_of(file.anonymous)}, {"limits", json_of(file.anonymous_limits)}}}};
  return document.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

} // namespace

int run_token_create(const Invocation& invocation) {
  const auto path = auth_file_of(invocation);
  TokenOptions options(invocation.arguments);
  config::AuthToken token = options.read();
  if (!path) {
    return kExitUsage;
  }
  if (!options.problems().empty()) {
    return print_problems(options.problems());
  }
  const auto secret = make_secret();
  if (!secret) {
    return print_failure({secret.error().message});
  }
  token.digest = sha256(as_bytes(secret->reveal()));
  const auto edited = config::edit_auth_file(
      *path, config::Absent::is_empty, posix_file_system(), [&](const config::ConfigFile& file) {
        return config::with_token(file, token);
      });
  if (!edited) {
    return print_failure(edited.error());
  }
  print_error("The token \"" + token.name + "\" may " + shown_grants(token.grants) +
              "; it expires " + shown_expiry(token) +
              ".\nIt is shown this once: only its hash is in " + *path +
              ", which the server's user must be able to read.\n" + std::string(kReloadHint));
  print(secret->reveal());
  return print("\n");
}

int run_token_list(const Invocation& invocation) {
  const auto path = auth_file_of(invocation);
  if (!path) {
    return kExitUsage;
  }
  const auto file = config::load_auth_file(*path, posix_file_system());
  if (!file) {
    return print_failure(file.error());
  }
  return print(invocation.arguments.has("json") ? json_of(*file) : text_of(*file));
}

int run_token_revoke(const Invocation& invocation) {
  const auto path = auth_file_of(invocation);
  if (!path) {
    return kExitUsage;
  }
  const std::string& name = invocation.arguments.operands.front();
  const auto edited = config::edit_auth_file(
      *path, config::Absent::is_problem, posix_file_system(), [&](const config::ConfigFile& file) {
        return config::without_token(file, name);
      });
  if (!edited) {
    return print_failure(edited.error());
  }
  print_error("The token \"" + name + "\" is revoked. " + std::string(kReloadHint));
  return kExitOk;
}

} // namespace pkc::cli
