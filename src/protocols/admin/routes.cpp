#include "pkc/protocols/admin.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::protocols {

namespace {

constexpr std::string_view kProtocol = "admin";

http::Response answer(int status, std::string_view type, std::string body) {
  auto response = http::make_response(status);
  response.headers.add("Content-Type", type);
  response.headers.add("Cache-Control", "no-store"); // else a cache may guess
  response.body = std::move(body);
  return response;
}

http::Response health(store::Readiness& readiness, const Clock& clock) {
  const std::optional<std::string_view> trouble = readiness.trouble();
  // The reasons are plain words of ours, so nothing needs to be escaped.
  std::string body = R"({"status":")";
  body += trouble ? "unhealthy\"," : "healthy\",";
  if (trouble) {
    body.append(R"("error":")").append(*trouble).append("\",");
  }
  body.append(R"("timestamp":")").append(format_utc(clock.wall_now())).append("\"}");
  return answer(trouble ? 503 : 200, "application/json", std::move(body));
}

} // namespace

void mount_metrics(http::Router& router, ops::Metrics& metrics) {
  router.add({.method = http::Method::get,
              .pattern = "/metrics",
              .access = http::RouteAccess::metrics(),
              .handler =
                  [&metrics](http::Request& /*request*/) {
                    return answer(
                        200, "text/plain; version=0.0.4; charset=utf-8", metrics.render());
                  },
              .protocol = kProtocol});
}

void mount_admin(http::Router& router, store::Readiness& readiness, const Clock& clock) {
  router.add({.method = http::Method::get,
              .pattern = "/up",
              .access = http::RouteAccess::open(),
              .handler =
                  [](http::Request& /*request*/) {
                    return answer(200, "text/plain; charset=utf-8", "up\n");
                  },
              .protocol = kProtocol});
  router.add({.method = http::Method::get,
              .pattern = "/health",
              .access = http::RouteAccess::open(),
              .handler = [&readiness,
                          &clock](http::Request& /*request*/) { return health(readiness, clock); },
              .protocol = kProtocol});
}

} // namespace pkc::protocols
