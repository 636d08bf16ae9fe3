#include "pkc/protocols/admin.hpp"

namespace pkc::protocols {

void mount_admin(http::Router& router, ops::Metrics& metrics) {
  router.add({http::Method::get, "/metrics", [&metrics](http::Request& /*request*/) {
                auto response = http::make_response(200);
                response.headers.add("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
                response.headers.add("Cache-Control", "no-store"); // else a cache may guess
                response.body = metrics.render();
                return response;
              }});
}

} // namespace pkc::protocols
