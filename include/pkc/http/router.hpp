// Router: one table from method and path to handler.
#pragma once

#include "pkc/http/auth.hpp"
#include "pkc/http/message.hpp"

#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::http {

/// One row: `pattern` is literal segments and {placeholders} of exactly one non-empty segment, e.g.
/// "/v1/artifacts/{key}". A GET row also answers HEAD.
struct Route {
  Method method = Method::get;
  std::string_view pattern;
  RouteAccess access; ///< who may use it
  Handler handler;
  /// Whose requests these are, in metrics: a literal. Without the "" g++ wants it at every use.
  std::string_view protocol = ""; // NOLINT(readability-redundant-string-init)
};

/// What a router serves, as far as metrics are concerned.
struct Endpoint {
  std::string_view protocol;
  Method method = Method::get;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// Finds the row for a request. Thread-safe once built: add() only before serving.
///
/// Placeholders are percent-decoded once; a decoded value may hold any byte, "/" included, so a
/// handler validates it. Malformed percent-encoding is 400. No row for the path: 404 with a JSON
/// error. Rows for the path but none for the method: 405 with `Allow` listing every method that has
/// one (HEAD included where GET is). "OPTIONS *" is 204 with `Allow`.
class Router {
 public:
  void add(Route route);
  /// Of all rows with a protocol, each pair once, in order; HEAD included where GET is.
  [[nodiscard]] std::vector<Endpoint> endpoints() const;
  /// Puts another door in front of all rows than that of a server without tokens. Before serving.
  void guard(std::shared_ptr<AccessControl> control) { control_ = std::move(control); }
  /// The spaces that the rows name.
  [[nodiscard]] std::set<std::string> spaces() const;
  /// Fills request.parameters and .protocol and calls the handler of a request that may pass;
  /// answers 404, 405 and 400 itself.
  Response dispatch(Request& request) const;

 private:
  struct Segment {
    std::string literal;
    bool placeholder = false;
  };
  struct Row {
    Method method;
    std::vector<Segment> segments;
    RouteAccess access;
    Handler handler;
    std::string_view protocol;
  };
  static bool matches(const Row& row, std::span<const std::string_view> segments);
  [[nodiscard]] const Row* find(Method method, std::span<const std::string_view> segments) const;
  [[nodiscard]] Response refuse(std::span<const std::string_view> segments) const;

  std::vector<Row> rows_;
  std::shared_ptr<AccessControl> control_ = std::make_shared<AccessControl>();
};

} // namespace pkc::http
