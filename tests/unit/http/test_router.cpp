#include "pkc/http/router.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {
namespace {

/// Answers with the name of the row and the parameters.
Handler named(std::string name) {
  return [name](Request& request) {
    Response response = make_response(200);
    std::string text = name;
    for (const std::string& parameter : request.parameters) {
      text += "|" + parameter;
    }
    response.body = text;
    return response;
  };
}

Router make_router() {
  Router router;
  router.add({Method::get, "/", RouteAccess::open(), named("root")});
  router.add({Method::get, "/v1/artifacts/{key}", RouteAccess::open(), named("get")});
  router.add({Method::put, "/v1/artifacts/{key}", RouteAccess::open(), named("put")});
  router.add(
      {Method::post, "/v1/artifacts/{key}/parts/{part}", RouteAccess::open(), named("part")});
  router.add({Method::get, "/v1/list/", RouteAccess::open(), named("list")});
  router.add({Method::get, "/both", RouteAccess::open(), named("both get")});
  router.add({Method::head, "/both", RouteAccess::open(), named("both head")});
  return router;
}

Response dispatch(Method method, std::string_view path) {
  Request request;
  request.method = method;
  request.path = path;
  return make_router().dispatch(request);
}

TEST_SUITE("http::Router") {
  TEST_CASE("dispatch: finds the row and decodes its parameters once") {
    struct {
      Method method;
      std::string_view path;
      std::string_view text;
    } const rows[] = {
        {Method::get, "/", "root"},
        {Method::get, "/v1/artifacts/abc", "get|abc"},
        {Method::head, "/v1/artifacts/abc", "get|abc"},
        {Method::put, "/v1/artifacts/abc", "put|abc"},
        {Method::post, "/v1/artifacts/a/parts/7", "part|a|7"},
        {Method::get, "/v1/artifacts/a%2Fb", "get|a/b"},
        {Method::get, "/v1/artifacts/a%252Fb", "get|a%2Fb"},
        {Method::get, "/v1/%61rtifacts/a+b!:~=", "get|a+b!:~="},
        {Method::get, "/v1/artifacts/..", "get|.."},
        {Method::get, "/v1/list/", "list"},
        {Method::get, "/both", "both get"},
        {Method::head, "/both", "both head"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.path);

      const Response response = dispatch(row.method, row.path);

      CHECK(response.status == 200);
      CHECK(std::get<std::string>(response.body) == row.text);
    }
  }

  TEST_CASE("dispatch: a path without a row is 404") {
    for (const std::string_view path : {"/v1",
                                        "/v1/artifacts",
                                        "/v1/artifacts/",
                                        "/v1/list",
                                        "/v1/artifacts/a/b",
                                        "/V1/artifacts/a",
                                        "/v1//artifacts/a",
                                        "/v1%2Fartifacts/a"}) {
      CAPTURE(path);

      CHECK(dispatch(Method::get, path).status == 404);
    }
  }

  TEST_CASE("dispatch: malformed percent-encoding is 400") {
    for (const std::string_view path : {"/v1/artifacts/%",
                                        "/v1/artifacts/%4",
                                        "/v1/artifacts/%zz",
                                        "/v1/artifacts/a%-1",
                                        "/%g0"}) {
      CAPTURE(path);

      CHECK(dispatch(Method::get, path).status == 400);
    }
  }

  TEST_CASE("dispatch: a method without a row is 405 and Allow lists the others") {
    struct {
      Method method;
      std::string_view path;
      std::string_view allow;
    } const rows[] = {
        {Method::delete_, "/v1/artifacts/a", "GET, HEAD, PUT"},
        {Method::other, "/v1/artifacts/a/parts/b", "POST"},
        {Method::put, "/both", "GET, HEAD"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.path);

      const Response response = dispatch(row.method, row.path);

      CHECK(response.status == 405);
      CHECK(response.headers.get("allow") == row.allow);
    }
  }

  TEST_CASE("dispatch: OPTIONS * lists every method") {
    const Response response = dispatch(Method::options, "*");

    CHECK(response.status == 204);
    CHECK(response.headers.get("Allow") == "GET, HEAD, PUT, POST");
  }

  TEST_CASE("protocol: is the row's, and every pair of protocol and method is listed once") {
    Router router;
    router.add({Method::get, "/a", RouteAccess::open(), named("a"), "one"});
    router.add({Method::put, "/a", RouteAccess::open(), named("a"), "one"});
    router.add({Method::get, "/b", RouteAccess::open(), named("b"), "one"});
    router.add({Method::get, "/c", RouteAccess::open(), named("c"), "two"});
    router.add({Method::get, "/d", RouteAccess::open(), named("d")});

    CHECK(router.endpoints() == std::vector<Endpoint>{{"one", Method::get},
                                                      {"one", Method::head},
                                                      {"one", Method::put},
                                                      {"two", Method::get},
                                                      {"two", Method::head}});
    for (const auto& [path, protocol] :
         {std::pair{"/a", "one"}, {"/c", "two"}, {"/d", ""}, {"/", ""}}) {
      Request request;
      request.method = Method::head;
      request.path = path;
      static_cast<void>(router.dispatch(request));
      CHECK(request.protocol == protocol);
    }
  }
}

} // namespace
} // namespace pkc::http
