#include "credentials.hpp"
#include "local_request.hpp"
#include "token_usage.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/http/auth.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

namespace pkc::http {

namespace {

constexpr std::string_view kAnonymous = "anonymous";

struct Token {
  Principal principal;
  Sha256 digest;
  std::optional<WallTime> expires;
  std::string user;
  TokenLimits limits;
  std::shared_ptr<TokenUsage> usage;
};

/// Where a digest is looked for.
std::uint64_t bucket_of(const Sha256& digest) {
  std::uint64_t bucket = 0;
  std::memcpy(&bucket, digest.bytes.data(), sizeof bucket);
  return bucket;
}

/// AccessRules, ready to be asked. Immutable, but for what tokens use up.
struct Rules {
  std::unordered_multimap<std::uint64_t, Token> tokens;
  Principal anonymous;
};

/// Who sent a request, or why that is not known.
struct Identity {
  const Principal* principal = nullptr; ///< null: bad credentials
  const Token* token = nullptr;         ///< null: anonymous
  std::string_view problem;             ///< with the credentials, for the client
};

struct Denial {
  Refusal refusal = Refusal::none;
  int status = 0;
  std::string message;
  std::chrono::milliseconds retry_after{};
};

/// "write to polykit", to go on from "a token is needed to".
std::string describe(Scope scope, std::string_view space) {
  switch (scope) {
    case Scope::read:
      return "read from " + std::string(space);
    case Scope::write:
      return "write to " + std::string(space);
    case Scope::metrics:
      return "see the metrics";
    case Scope::admin:
      return space == kEverySpace ? "administer this server" : "administer " + std::string(space);
  }
  std::unreachable();
}

/// With a hasher that each worker keeps: to make one costs as much as the digest itself.
Sha256 digest_of(std::string_view token) {
  static thread_local Sha256Hasher hasher;
  hasher.update(as_bytes(token));
  return hasher.finish();
}

Identity try_candidate(const Rules& rules, const Candidate& candidate, WallTime now) {
  const Sha256 digest = digest_of(candidate.token.reveal());
  const auto [first, last] = rules.tokens.equal_range(bucket_of(digest));
  for (auto row = first; row != last; ++row) {
    const Token& token = row->second;
    if (!equal_in_constant_time(token.digest.bytes, digest.bytes)) {
      continue;
    }
    if (candidate.user && !token.user.empty() && *candidate.user != token.user) {
      return {.problem = "the token is unknown"}; // under that name
    }
    if (token.expires && now >= *token.expires) {
      return {.problem = "the token has expired"};
    }
    return {.principal = &token.principal, .token = &token, .problem = {}};
  }
  return {.problem = "the token is unknown"};
}

Identity identify(const Rules& rules, const Headers& headers, const Clock& clock) {
  const Credentials credentials = parse_credentials(headers);
  if (!credentials.given) {
    return {.principal = &rules.anonymous, .token = nullptr, .problem = {}};
  }
  Identity best{.problem = "the credentials are neither Bearer nor Basic with a token"};
  for (const Candidate& candidate : credentials.candidates) {
    const Identity identity = try_candidate(rules, candidate, clock.wall_now());
    if (identity.principal != nullptr) {
      return identity;
    }
    // The user name beside an expired token is an unknown one: the first problem tells more.
    if (&candidate == &credentials.candidates.front() || best.problem != "the token has expired") {
      best = identity;
    }
  }
  return best;
}

/// What a request wants and whether it may.
std::optional<Denial> judge(const Identity& identity, const AccessEvent& wish, SteadyTime now) {
  if (identity.principal == nullptr) {
    return Denial{.refusal = Refusal::bad_credentials,
                  .status = 401,
                  .message = std::string(identity.problem),
                  .retry_after = {}};
  }
  if (identity.token != nullptr) {
    const Token& token = *identity.token;
    if (const auto wait = token.usage->count_request(token.limits, now)) {
      return Denial{.refusal = Refusal::rate,
                    .status = 429,
                    .message = "too many requests with this token",
                    .retry_after = *wait};
    }
  }
  if (identity.principal->may(wish.scope, wish.space, wish.project)) {
    return std::nullopt;
  }
  const std::string what = describe(wish.scope, wish.space);
  if (identity.token == nullptr) {
    return Denial{.refusal = Refusal::no_credentials,
                  .status = 401,
                  .message = "a token is needed to " + what,
                  .retry_after = {}};
  }
  const bool elsewhere = std::ranges::any_of(
      identity.principal->grants, [](const Grant& grant) { return !grant.projects.empty(); });
  return Denial{.refusal = Refusal::no_right,
                .status = 403,
                .message = "the token may not " + what + (elsewhere ? " in this project" : ""),
                .retry_after = {}};
}

Denial over_quota() {
  return {.refusal = Refusal::quota,
          .status = 403,
          .message = "the token has written as much as it may today",
          .retry_after = {}};
}

Response render(const Denial& denial, const RouteAccess& access) {
  Response response = access.refusal(denial.status, denial.message);
  if (denial.status == 401) {
    const bool wrong = denial.refusal == Refusal::bad_credentials; // RFC 6750 section 3.1
    response.headers.add("WWW-Authenticate",
                         wrong ? R"(Bearer realm="polykit-cache", error="invalid_token")"
                               : R"(Bearer realm="polykit-cache")");
    response.headers.add("WWW-Authenticate", R"(Basic realm="polykit-cache", charset="UTF-8")");
  }
  if (denial.retry_after > std::chrono::milliseconds::zero()) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(denial.retry_after);
    response.headers.add("Retry-After", std::to_string(seconds.count()));
  }
  return response;
}

/// A body that counts against the daily quota of a token: an announced length is taken at once,
/// what comes in chunks while it is read. What was not accepted in the end is given back.
class MeteredBody final : public RequestBody {
 public:
  MeteredBody(RequestBody& body, const Token& token, const Clock& clock)
      : body_(body), token_(token), clock_(clock) {}
  MeteredBody(const MeteredBody&) = delete;
  MeteredBody& operator=(const MeteredBody&) = delete;
  MeteredBody(MeteredBody&&) = delete;
  MeteredBody& operator=(MeteredBody&&) = delete;
  ~MeteredBody() override { token_.usage->settle(share_, accepted_ ? received_ : 0); }

  /// Before anything is read. One byte stands for a body of unknown length, so that it is not asked
  /// for when nothing of it would fit.
  bool admit() { return take(body_.length().value_or(1)); }
  void accept() { accepted_ = true; }
  [[nodiscard]] bool is_over_quota() const { return over_quota_; }

  [[nodiscard]] std::optional<ByteCount> length() const override { return body_.length(); }
  Result<std::size_t> read(MutableByteSpan buffer) override {
    TRY_ASSIGN(const std::size_t count, body_.read(buffer));
    received_ += count;
    if (received_ > share_.bytes && !take(received_ - share_.bytes)) {
      over_quota_ = true;
      return fail(Errc::unavailable, "the quota of the token is used up");
    }
    return count;
  }

 private:
  bool take(ByteCount bytes) {
    return token_.usage->take(share_, bytes, token_.limits, clock_.wall_now());
  }

  RequestBody& body_;
  const Token& token_;
  const Clock& clock_;
  QuotaShare share_{};
  ByteCount received_ = 0;
  bool over_quota_ = false;
  bool accepted_ = false;
};

/// The only principals of a server without rules.
const Principal& everybody() {
  static const Principal principal{
      .name = std::string(kAnonymous),
      .anonymous = true,
      .grants = {Grant{
          .scopes = {Scope::read, Scope::write, Scope::metrics}, .spaces = {}, .projects = {}}}};
  return principal;
}
const Principal& local_admin() {
  static const Principal principal{
      .name = "local",
      .anonymous = true,
      .grants = {Grant{.scopes = {Scope::admin}, .spaces = {}, .projects = {}}}};
  return principal;
}

Response serve_without_rules(Request& request, const RouteAccess& access, const Handler& handler) {
  const bool needs_admin = access.scope() == Scope::admin;
  if (needs_admin && !is_local_request(request)) {
    return access.refusal(403,
                          "without an auth file this answers only to the server's own machine");
  }
  request.principal = needs_admin ? &local_admin() : &everybody();
  return handler(request);
}

} // namespace

class AccessControl::Impl {
 public:
  Impl(AccessRules rules, AccessObserver observer, const Clock& clock)
      : clock_(clock), observer_(std::move(observer)) {
    replace(std::move(rules));
  }

  void replace(AccessRules rules);
  Response serve(Request& request, const RouteAccess& access, Scope scope, const Handler& handler);

 private:
  Response serve_metered(Request& request,
                         const Token& token,
                         const RouteAccess& access,
                         const Handler& handler,
                         Refusal& refusal) const;
  Response answer(Request& request,
                  const Identity& identity,
                  const RouteAccess& access,
                  const Handler& handler,
                  AccessEvent& event) const;
  void observe(const AccessEvent& event) const {
    if (observer_) {
      observer_(event);
    }
  }

  const Clock& clock_;
  const AccessObserver observer_;
  Guarded<std::shared_ptr<const Rules>> rules_{std::make_shared<const Rules>()};
};

void AccessControl::Impl::replace(AccessRules rules) {
  std::unordered_map<std::string_view, std::shared_ptr<TokenUsage>> usages;
  const std::shared_ptr<const Rules> old = *rules_.lock();
  for (const auto& [bucket, token] : old->tokens) {
    usages.emplace(token.principal.name, token.usage);
  }
  auto fresh = std::make_shared<Rules>();
  fresh->anonymous = {
      .name = std::string(kAnonymous), .anonymous = true, .grants = std::move(rules.anonymous)};
  for (TokenRule& rule : rules.tokens) {
    auto usage = usages[rule.name];
    fresh->tokens.emplace(
        bucket_of(rule.digest),
        Token{.principal = {.name = std::move(rule.name),
                            .anonymous = false,
                            .grants = std::move(rule.grants)},
              .digest = rule.digest,
              .expires = rule.expires,
              .user = std::move(rule.user),
              .limits = rule.limits,
              .usage = usage ? std::move(usage) : std::make_shared<TokenUsage>()});
  }
  *rules_.lock() = std::move(fresh);
}

Response AccessControl::Impl::serve_metered(Request& request,
                                            const Token& token,
                                            const RouteAccess& access,
                                            const Handler& handler,
                                            Refusal& refusal) const {
  RequestBody* const plain = request.body;
  MeteredBody body(*plain, token, clock_);
  if (!body.admit()) {
    refusal = Refusal::quota;
    return render(over_quota(), access);
  }
  request.body = &body;
  Response response = handler(request);
  request.body = plain;
  if (body.is_over_quota()) { // whatever the handler made of a body that ended early
    refusal = Refusal::quota;
    response = render(over_quota(), access);
    response.close_connection = true;
  } else if (response.status / 100 == 2) {
    body.accept();
  }
  return response;
}

Response AccessControl::Impl::answer(Request& request,
                                     const Identity& identity,
                                     const RouteAccess& access,
                                     const Handler& handler,
                                     AccessEvent& event) const {
  if (const auto denial = judge(identity, event, clock_.steady_now())) {
    event.refusal = denial->refusal;
    return render(*denial, access);
  }
  request.principal = identity.principal;
  const bool metered = identity.token != nullptr && event.scope == Scope::write &&
                       identity.token->limits.write_bytes_per_day > 0;
  return metered ? serve_metered(request, *identity.token, access, handler, event.refusal)
                 : handler(request);
}

Response AccessControl::Impl::serve(Request& request,
                                    const RouteAccess& access,
                                    Scope scope,
                                    const Handler& handler) {
  const std::shared_ptr<const Rules> rules = *rules_.lock(); // lives as long as the request
  const Identity identity = identify(*rules, request.headers, clock_);
  const std::string space = access.space(request);
  const std::optional<std::string> project = access.project(request);
  AccessEvent event{
      .who = identity.principal == nullptr ? std::string_view("unknown") : identity.principal->name,
      .scope = scope,
      .space = space,
      .project = project,
      .request = request,
      .status = 500,
      .refusal = Refusal::none};
  try {
    Response response = answer(request, identity, access, handler, event);
    request.principal = nullptr; // it is about to end
    event.status = response.status;
    observe(event);
    return response;
  } catch (...) {
    observe(event);
    throw; // the engine makes the answer of it
  }
}

AccessControl::AccessControl(std::optional<AccessRules> rules,
                             AccessObserver observer,
                             const Clock& clock)
    : impl_(rules ? std::make_unique<Impl>(*std::move(rules), std::move(observer), clock)
                  : nullptr) {}

AccessControl::~AccessControl() = default;

void AccessControl::replace(AccessRules rules) {
  PKC_ASSERT(impl_ != nullptr);
  impl_->replace(std::move(rules));
}

Response AccessControl::serve(Request& request, const RouteAccess& access, const Handler& handler) {
  const std::optional<Scope> scope = access.scope();
  if (!scope) {
    request.principal = &everybody();
    return handler(request);
  }
  return impl_ == nullptr ? serve_without_rules(request, access, handler)
                          : impl_->serve(request, access, *scope, handler);
}

} // namespace pkc::http
