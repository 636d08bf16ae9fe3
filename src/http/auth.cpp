#include "pkc/http/auth.hpp"

#include <algorithm>
#include <utility>

namespace pkc::http {

std::string_view to_string(Scope scope) {
  switch (scope) {
    case Scope::read:
      return "read";
    case Scope::write:
      return "write";
    case Scope::metrics:
      return "metrics";
    case Scope::admin:
      return "admin";
  }
  std::unreachable();
}

std::string_view to_string(Refusal refusal) {
  switch (refusal) {
    case Refusal::none:
      return "none";
    case Refusal::bad_credentials:
      return "bad_credentials";
    case Refusal::no_credentials:
      return "no_credentials";
    case Refusal::no_right:
      return "no_right";
    case Refusal::rate:
      return "rate";
    case Refusal::quota:
      return "quota";
  }
  std::unreachable();
}

bool Principal::may(Scope scope,
                    std::string_view space,
                    std::optional<std::string_view> project) const {
  return std::ranges::any_of(grants, [&](const Grant& grant) {
    if (!grant.scopes.allows(scope)) {
      return false;
    }
    if (scope == Scope::metrics) {
      return true;
    }
    // No space is named "*", so a grant for some of them never covers all.
    const bool in_space =
        grant.spaces.empty() || std::ranges::find(grant.spaces, space) != grant.spaces.end();
    const bool in_project =
        grant.projects.empty() ||
        (project && std::ranges::find(grant.projects, *project) != grant.projects.end());
    return in_space && in_project;
  });
}

RouteAccess RouteAccess::with_project(ProjectOf project_of) const {
  RouteAccess access = *this;
  access.project_of_ = project_of;
  return access;
}

RouteAccess RouteAccess::with_space(SpaceOf space_of) const {
  RouteAccess access = *this;
  access.space_of_ = space_of;
  return access;
}

RouteAccess RouteAccess::with_refusal(Render render) const {
  RouteAccess access = *this;
  access.render_ = render;
  return access;
}

std::string RouteAccess::space(const Request& request) const {
  return space_of_ == nullptr ? std::string(space_) : space_of_(request);
}

std::optional<std::string> RouteAccess::project(const Request& request) const {
  return project_of_ == nullptr ? std::nullopt : project_of_(request);
}

Response RouteAccess::refusal(int status, std::string_view message) const {
  return render_ == nullptr ? make_error(status, message) : render_(status, message);
}

} // namespace pkc::http
