#include "pkc/protocols/admin.hpp"
#include "pkc/store/rebuild.hpp"

#include <nlohmann/json.hpp>

#include <string_view>
#include <utility>

namespace pkc::protocols {

namespace {

using http::Request;
using http::Response;
using store::Rebuild;

std::string_view name_of(Rebuild::Phase phase) {
  switch (phase) {
    case Rebuild::Phase::none:
      return "none";
    case Rebuild::Phase::waiting:
      return "waiting";
    case Rebuild::Phase::running:
      return "running";
    case Rebuild::Phase::done:
      return "done";
    case Rebuild::Phase::failed:
      return "failed";
  }
  std::unreachable();
}

Response answer(int status, Rebuild& rebuild) {
  const Rebuild::Status now = rebuild.status();
  const nlohmann::ordered_json document = {{"state", name_of(now.phase)},
                                           {"shards", now.progress.shards},
                                           {"shards_done", now.progress.shards_done},
                                           {"objects", now.progress.objects},
                                           {"added", now.progress.added},
                                           {"removed", now.progress.removed}};
  Response response = http::make_response(status);
  response.headers.add("Content-Type", "application/json");
  response.headers.add("Cache-Control", "no-store");
  response.body = document.dump();
  return response;
}

} // namespace

void mount_rebuild(http::Router& router, store::Rebuild& rebuild) {
  constexpr std::string_view kPath = "/api/index/rebuild";
  const auto add = [&](http::Method method, http::Handler handler) {
    router.add({.method = method,
                .pattern = kPath,
                .access = http::RouteAccess::admin(),
                .handler = std::move(handler),
                .protocol = "admin"});
  };
  add(http::Method::get, [&rebuild](Request& /*request*/) { return answer(200, rebuild); });
  add(http::Method::post, [&rebuild](Request& /*request*/) {
    return rebuild.begin() ? answer(202, rebuild)
                           : http::make_error(409, "the index is being rebuilt already");
  });
}

} // namespace pkc::protocols
