// Who may do what: tokens, their grants, and what each route asks for.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/http/message.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {

/// What a request wants to do.
enum class Scope : std::uint8_t {
  read,
  write,   ///< store, replace, delete
  metrics, ///< see figures about the server as a whole
  admin,   ///< everything in its spaces, the admin API included
};

/// "read", "write", "metrics", "admin".
std::string_view to_string(Scope scope);

/// A set of scopes. None of them includes another one, but admin all others.
class Scopes {
 public:
  constexpr Scopes() = default;
  constexpr Scopes(std::initializer_list<Scope> scopes) {
    for (const Scope scope : scopes) {
      add(scope);
    }
  }
  constexpr void add(Scope scope) { bits_ |= bit(scope); }
  [[nodiscard]] constexpr bool allows(Scope scope) const {
    return (bits_ & (bit(scope) | bit(Scope::admin))) != 0;
  }

 private:
  static constexpr unsigned bit(Scope scope) { return 1U << static_cast<unsigned>(scope); }
  unsigned bits_ = 0;
};

/// Stands for all spaces together, where a route concerns them all.
constexpr std::string_view kEverySpace = "*";

/// Some rights. A list of them adds up.
struct Grant {
  Scopes scopes;
  std::vector<std::string> spaces;   ///< empty: every space
  std::vector<std::string> projects; ///< empty: every project, and what belongs to none
};

/// Who sent a request. Immutable.
struct Principal {
  std::string name; ///< of the token; "anonymous" without one
  bool anonymous = false;
  std::vector<Grant> grants;

  /// Whether one of the grants covers all of it. A grant for some projects does not cover what
  /// belongs to no project, and one for some spaces does not cover kEverySpace. Space and project
  /// do not matter to Scope::metrics, which is about the server as a whole.
  [[nodiscard]] bool may(Scope scope,
                         std::string_view space,
                         std::optional<std::string_view> project = std::nullopt) const;
};

/// What a route asks of a request before its handler sees it: a scope in a space and, where the
/// protocol has projects, in one of them. There is no default: a route that does not say who may
/// use it does not compile. Immutable.
class RouteAccess {
 public:
  /// The project that a request is about, from its parameters, query or headers; nothing when it
  /// names none. A pure function; it is called before the request was allowed.
  using ProjectOf = std::optional<std::string> (*)(const Request&);
  /// The space, likewise, where the path names it.
  using SpaceOf = std::string (*)(const Request&);
  /// Renders a refusal (401, 403, 429 or 503) where a client wants another form than
  /// make_error()'s. The headers WWW-Authenticate and Retry-After are added to it.
  using Render = Response (*)(int status, std::string_view message);

  /// Anybody may, whatever credentials come with the request: for what tells that a server lives.
  static RouteAccess open() { return RouteAccess(std::nullopt, kEverySpace); }
  static RouteAccess metrics() { return RouteAccess(Scope::metrics, kEverySpace); }
  /// `space` lives for ever.
  static RouteAccess read(std::string_view space) { return RouteAccess(Scope::read, space); }
  static RouteAccess write(std::string_view space) { return RouteAccess(Scope::write, space); }
  static RouteAccess admin(std::string_view space = kEverySpace) {
    return RouteAccess(Scope::admin, space);
  }

  [[nodiscard]] RouteAccess with_project(ProjectOf project_of) const;
  [[nodiscard]] RouteAccess with_space(SpaceOf space_of) const;
  [[nodiscard]] RouteAccess with_refusal(Render render) const;

  /// Nothing for an open route.
  [[nodiscard]] std::optional<Scope> scope() const { return scope_; }
  [[nodiscard]] std::string space(const Request& request) const;
  /// What was given, kEverySpace without a with_space() included.
  [[nodiscard]] std::string_view named_space() const { return space_; }
  [[nodiscard]] std::optional<std::string> project(const Request& request) const;
  [[nodiscard]] Response refusal(int status, std::string_view message) const;

 private:
  RouteAccess(std::optional<Scope> scope, std::string_view space) : scope_(scope), space_(space) {}

  std::optional<Scope> scope_;
  std::string_view space_;
  SpaceOf space_of_ = nullptr;
  ProjectOf project_of_ = nullptr;
  Render render_ = nullptr;
};

/// What a token may use up. 0: no limit.
struct TokenLimits {
  std::uint32_t requests_per_second = 0;
  std::uint32_t requests_burst = 0;     ///< at once, after a pause; 0: as many as in a second
  ByteCount read_bytes_per_second = 0;  ///< of what it reads; what goes beyond it waits
  ByteCount write_bytes_per_second = 0; ///< of the bodies of requests, likewise
  ByteCount write_bytes_per_day = 0;    ///< of accepted bodies; a day begins at 00:00 UTC
};

/// What a token has used of its daily quota.
struct QuotaUse {
  std::string name; ///< of the token, or "anonymous"
  std::chrono::sys_days day;
  ByteCount written = 0;
  friend bool operator==(const QuotaUse&, const QuotaUse&) = default;
};

/// A token, known by its digest. A plain SHA-256 is right for tokens of 256 random bits: nobody can
/// try them out, so the slowness of a password hash would protect nothing and cost every request.
struct TokenRule {
  std::string name; ///< not two of the same
  Sha256 digest;    ///< of the token's characters; not two of the same
  std::vector<Grant> grants;
  std::optional<WallTime> expires; ///< of no use from then on
  std::string user;                ///< that has to come with it in Basic; empty: any
  TokenLimits limits;
};

/// All that decides about requests.
struct AccessRules {
  std::vector<TokenRule> tokens;
  std::vector<Grant> anonymous; ///< of requests without credentials
  /// Of all of them together.
  // NOLINTNEXTLINE(readability-redundant-member-init): g++ warns where it is left out otherwise
  TokenLimits anonymous_limits{};
};

/// Why a request was refused.
enum class Refusal : std::uint8_t {
  none,
  bad_credentials, ///< malformed, unknown or expired: 401
  no_credentials,  ///< anonymous may not do it: 401
  no_right,        ///< the token may not do it, or not from there: 403
  rate,            ///< 429
  quota,           ///< 403
};

/// "bad_credentials" and so on; "none".
std::string_view to_string(Refusal refusal);

/// What was decided about a request, after it was answered. Views live during the call; none of
/// them holds credentials.
struct AccessEvent {
  std::string_view who; ///< name of the token, "anonymous", or "unknown" for bad credentials
  Scope scope{};
  std::string_view space;
  std::optional<std::string_view> project;
  const Request& request;
  int status = 0;
  Refusal refusal = Refusal::none;
};

/// Called by the worker that serves the request, by many at once; must not throw.
using AccessObserver = std::function<void(const AccessEvent&)>;

/// The door in front of all routes. Thread-safe. Decides before the handler runs and so before
/// "100 Continue" and before any byte of the body (DESIGN section 10).
///
/// Without rules anybody may read, write and see metrics, and the admin API answers only to this
/// machine: a peer on a loopback address or a Unix socket, whose request passed no proxy and is not
/// a web page's.
///
/// With rules, credentials are taken from `Authorization`: Bearer, or Basic in either base64
/// alphabet with the token as password or as user name, as clients differ. Wrong credentials are
/// refused even where anonymous might pass, so that an expired token shows. The server keeps a
/// digest of each token only; it is found by its first bytes and then compared in constant time. To
/// learn from the search how near a guess is, one would have to choose the digest of a guess.
///
/// Refusals: 401 with both challenges; 403 with a reason; 429 with Retry-After beyond the rate. An
/// exhausted daily quota is 403, not 429 or 507: Nx and Nix retry those again and again, or fail
/// the build, and take 403 as an answer; no other client minds more than about other errors.
/// Transfers beyond a limit of bytes per second are slowed down, not refused, but for 503 when too
/// many of them wait at once.
class AccessControl {
 public:
  /// `rules`: nothing for a server without tokens. The clock outlives this object.
  explicit AccessControl(std::optional<AccessRules> rules = std::nullopt,
                         AccessObserver observer = {},
                         const Clock& clock = system_clock());
  ~AccessControl();
  AccessControl(const AccessControl&) = delete;
  AccessControl& operator=(const AccessControl&) = delete;
  AccessControl(AccessControl&&) = delete;
  AccessControl& operator=(AccessControl&&) = delete;

  /// Takes effect with the next request; those under way go on. What tokens have used up is kept by
  /// name. REQUIRES: there were rules before.
  void replace(AccessRules rules);

  /// What was used of quotas, in the order of names, once anything was; nothing without rules.
  [[nodiscard]] std::vector<QuotaUse> quota_uses() const;

  /// Adds what other processes have made of `before`, whose entries were counted here. Names
  /// without a token, names that `after` does not have, and days before those that are counted by
  /// now, do not matter.
  void add_quota_uses(const std::vector<QuotaUse>& before, const std::vector<QuotaUse>& after);

  /// The handler's answer, or a refusal. request.principal is set for the handler.
  Response serve(Request& request, const RouteAccess& access, const Handler& handler);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_; ///< null without rules
};

} // namespace pkc::http
