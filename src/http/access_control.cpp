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
#include <vector>

namespace pkc::http {

namespace {

constexpr std::string_view kAnonymous = "anonymous";

/// Somebody with limits.
struct Guest {
  Principal principal;
  TokenLimits limits;
  std::shared_ptr<TokenUsage> usage;
};

struct Token {
  Guest guest;
  Sha256 digest;
  std::optional<WallTime> expires;
  std::string user;
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
  Guest anonymous;
};

/// Calls `visit` with everybody who has limits.
template <typename Visit>
void for_each_guest(const Rules& rules, const Visit& visit) {
  visit(rules.anonymous);
  for (const auto& [bucket, token] : rules.tokens) {
    visit(token.guest);
  }
}

/// For a transfer, which may outlive the rules.
std::shared_ptr<Throttle> throttle(const Guest& guest, Throttle& of_usage) {
  return {guest.usage, &of_usage};
}

/// Who sent a request, or why that is not known.
struct Identity {
  const Guest* guest = nullptr; ///< null: bad credentials
  std::string_view problem;     ///< with the credentials, for the client
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
    return {.guest = &token.guest, .problem = {}};
  }
  return {.problem = "the token is unknown"};
}

Identity identify(const Rules& rules, const Headers& headers, const Clock& clock) {
  const Credentials credentials = parse_credentials(headers);
  if (!credentials.given) {
    return {.guest = &rules.anonymous, .problem = {}};
  }
  Identity best{.problem = "the credentials are neither Bearer nor Basic with a token"};
  for (const Candidate& candidate : credentials.candidates) {
    const Identity identity = try_candidate(rules, candidate, clock.wall_now());
    if (identity.guest != nullptr) {
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
  if (identity.guest == nullptr) {
    return Denial{.refusal = Refusal::bad_credentials,
                  .status = 401,
                  .message = std::string(identity.problem),
                  .retry_after = {}};
  }
  const Guest& guest = *identity.guest;
  const bool anonymous = guest.principal.anonymous;
  if (const auto wait = guest.usage->count_request(guest.limits, now)) {
    return Denial{.refusal = Refusal::rate,
                  .status = 429,
                  .message = anonymous ? "too many requests without a token"
                                       : "too many requests with this token",
                  .retry_after = *wait};
  }
  if (guest.principal.may(wish.scope, wish.space, wish.project)) {
    return std::nullopt;
  }
  const std::string what = describe(wish.scope, wish.space);
  if (anonymous) {
    return Denial{.refusal = Refusal::no_credentials,
                  .status = 401,
                  .message = "a token is needed to " + what,
                  .retry_after = {}};
  }
  const bool elsewhere = std::ranges::any_of(
      guest.principal.grants, [](const Grant& grant) { return !grant.projects.empty(); });
  return Denial{.refusal = Refusal::no_right,
                .status = 403,
                .message = "the token may not " + what + (elsewhere ? " in this project" : ""),
                .retry_after = {}};
}

Denial over_quota(const Guest& guest) {
  return {.refusal = Refusal::quota,
          .status = 403,
          .message = guest.principal.anonymous
                         ? "as much was written without a token as may be today"
                         : "the token has written as much as it may today",
          .retry_after = {}};
}

Denial too_many_wait() {
  return {.refusal = Refusal::rate,
          .status = 503,
          .message = "too many transfers wait for the limit of a token, try again",
          .retry_after = std::chrono::seconds(1)};
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

/// A body that counts against a daily quota: an announced length is taken at once,
/// what comes in chunks while it is read. What was not accepted in the end is given back.
class MeteredBody final : public RequestBody {
 public:
  MeteredBody(RequestBody& body, const Guest& guest, const Clock& clock)
      : body_(body), guest_(guest), clock_(clock) {}
  MeteredBody(const MeteredBody&) = delete;
  MeteredBody& operator=(const MeteredBody&) = delete;
  MeteredBody(MeteredBody&&) = delete;
  MeteredBody& operator=(MeteredBody&&) = delete;
  ~MeteredBody() override { guest_.usage->settle(share_, accepted_ ? received_ : 0); }

  /// Before anything is read. One byte stands for a body of unknown length, so that it is not asked
  /// for when nothing of it would fit.
  bool admit() { return take(body_.length().value_or(1)); }
  void accept() { accepted_ = true; }
  [[nodiscard]] bool is_over_quota() const { return over_quota_; }

  [[nodiscard]] std::optional<ByteCount> length() const override { return body_.length(); }
  [[nodiscard]] bool pace(const std::shared_ptr<Throttle>& throttle) override {
    return body_.pace(throttle);
  }
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
    return guest_.usage->take(share_, bytes, guest_.limits, clock_.wall_now());
  }

  RequestBody& body_;
  const Guest& guest_;
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
  [[nodiscard]] std::vector<QuotaUse> quota_uses() const;
  void add_quota_uses(const std::vector<QuotaUse>& before,
                      const std::vector<QuotaUse>& after) const;
  Response serve(Request& request, const RouteAccess& access, Scope scope, const Handler& handler);

 private:
  Response serve_metered(Request& request,
                         const Guest& guest,
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
  [[nodiscard]] std::shared_ptr<const Rules> rules() const { return *rules_.lock(); }

  mutable Guarded<std::shared_ptr<const Rules>> rules_{std::make_shared<const Rules>()};
};

void AccessControl::Impl::replace(AccessRules rules) {
  const std::shared_ptr<const Rules> old = this->rules(); // has the names
  std::unordered_map<std::string, std::shared_ptr<TokenUsage>> usages;
  for_each_guest(*old,
                 [&](const Guest& guest) { usages.emplace(guest.principal.name, guest.usage); });
  const auto make_guest = [&](Principal principal, const TokenLimits& limits) {
    auto usage = usages[principal.name];
    usage = usage ? std::move(usage) : std::make_shared<TokenUsage>();
    usage->reads.set_rate(limits.read_bytes_per_second);
    usage->writes.set_rate(limits.write_bytes_per_second);
    return Guest{.principal = std::move(principal), .limits = limits, .usage = std::move(usage)};
  };
  auto fresh = std::make_shared<Rules>();
  fresh->anonymous = make_guest(
      {.name = std::string(kAnonymous), .anonymous = true, .grants = std::move(rules.anonymous)},
      rules.anonymous_limits);
  for (TokenRule& rule : rules.tokens) {
    Guest guest = make_guest(
        {.name = std::move(rule.name), .anonymous = false, .grants = std::move(rule.grants)},
        rule.limits);
    fresh->tokens.emplace(bucket_of(rule.digest),
                          Token{.guest = std::move(guest),
                                .digest = rule.digest,
                                .expires = rule.expires,
                                .user = std::move(rule.user)});
  }
  *rules_.lock() = std::move(fresh);
}

std::vector<QuotaUse> AccessControl::Impl::quota_uses() const {
  std::vector<QuotaUse> uses;
  for_each_guest(*rules(), [&](const Guest& guest) {
    const TokenUsage::Written written = guest.usage->written();
    if (written.day != std::chrono::sys_days()) { // 0 bytes tell others that some were given back
      uses.push_back({.name = guest.principal.name, .day = written.day, .written = written.bytes});
    }
  });
  std::ranges::sort(uses, {}, &QuotaUse::name);
  return uses;
}

void AccessControl::Impl::add_quota_uses(const std::vector<QuotaUse>& before,
                                         const std::vector<QuotaUse>& after) const {
  using ByName = std::unordered_map<std::string_view, TokenUsage::Written>;
  const auto by_name = [](const std::vector<QuotaUse>& uses) {
    ByName map;
    for (const QuotaUse& use : uses) {
      map.emplace(use.name, TokenUsage::Written{.day = use.day, .bytes = use.written});
    }
    return map;
  };
  const ByName known = by_name(before);
  const ByName told = by_name(after);
  for_each_guest(*rules(), [&](const Guest& guest) {
    if (const auto now = told.find(guest.principal.name); now != told.end()) {
      const auto base = known.find(guest.principal.name);
      guest.usage->add_written(base == known.end() ? TokenUsage::Written{} : base->second,
                               now->second);
    }
  });
}

Response AccessControl::Impl::serve_metered(Request& request,
                                            const Guest& guest,
                                            const RouteAccess& access,
                                            const Handler& handler,
                                            Refusal& refusal) const {
  RequestBody* const plain = request.body;
  MeteredBody body(*plain, guest, clock_);
  if (!body.admit()) {
    refusal = Refusal::quota;
    return render(over_quota(guest), access);
  }
  request.body = &body;
  Response response = handler(request);
  request.body = plain;
  if (body.is_over_quota()) { // whatever the handler made of a body that ended early
    refusal = Refusal::quota;
    response = render(over_quota(guest), access);
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
  const Guest& guest = *identity.guest;
  if (guest.limits.write_bytes_per_second > 0 &&
      !request.body->pace(throttle(guest, guest.usage->writes))) {
    event.refusal = Refusal::rate;
    return render(too_many_wait(), access);
  }
  request.principal = &guest.principal;
  const bool metered = event.scope == Scope::write && guest.limits.write_bytes_per_day > 0;
  Response response =
      metered ? serve_metered(request, guest, access, handler, event.refusal) : handler(request);
  // What a change came to must be told, and an error is short.
  const bool is_content = event.scope == Scope::read && response.status / 100 == 2;
  if (is_content && guest.limits.read_bytes_per_second > 0) {
    response.throttle =
        Throttle::of_both(std::move(response.throttle), throttle(guest, guest.usage->reads));
  }
  return response;
}

Response AccessControl::Impl::serve(Request& request,
                                    const RouteAccess& access,
                                    Scope scope,
                                    const Handler& handler) {
  const std::shared_ptr<const Rules> rules = this->rules(); // lives as long as the request
  const Identity identity = identify(*rules, request.headers, clock_);
  const std::string space = access.space(request);
  const std::optional<std::string> project = access.project(request);
  AccessEvent event{.who = identity.guest == nullptr ? std::string_view("unknown")
                                                     : identity.guest->principal.name,
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

std::vector<QuotaUse> AccessControl::quota_uses() const {
  return impl_ == nullptr ? std::vector<QuotaUse>() : impl_->quota_uses();
}

void AccessControl::add_quota_uses(const std::vector<QuotaUse>& before,
                                   const std::vector<QuotaUse>& after) {
  if (impl_ != nullptr) {
    impl_->add_quota_uses(before, after);
  }
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
