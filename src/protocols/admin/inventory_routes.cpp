// Three steps per handler: the query, the inventory, the answer.
#include "admin/query.hpp"
#include "admin/source_list.hpp"

#include "pkc/protocols/admin.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::protocols {

namespace {

using admin::Query;
using http::Request;
using http::Response;
using nlohmann::ordered_json;
using store::Object;

constexpr std::size_t kKeySizeMax = 128;

Response answer(const ordered_json& document) {
  Response response = http::make_response(200);
  response.headers.add("Content-Type", "application/json");
  response.headers.add("Cache-Control", "no-store"); // else a cache may guess
  // Names of rows that others wrote need not be UTF-8, and a strict dump would throw.
  response.body = document.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return response;
}

std::string format_time(index::Time time) {
  return format_utc(std::chrono::floor<std::chrono::seconds>(time));
}

/// A limit that is not set is null.
ordered_json limit_of(std::uint64_t value) {
  return value == 0 ? ordered_json(nullptr) : ordered_json(value);
}

ordered_json json_of(const Object& object) {
  return {{"space", object.space},
          {"key", object.key},
          {"size", object.size},
          {"disk_size", object.disk_size},
          {"stored_at", format_time(object.stored_at)},
          {"accessed_at", format_time(object.accessed_at)},
          {"hits", object.hits},
          {"pinned", object.pinned}};
}

ordered_json json_of(const store::SpaceStats& space) {
  return {{"space", space.space},
          {"objects", space.totals.objects},
          {"size", space.totals.size},
          {"disk_size", space.totals.disk_size},
          {"pinned_objects", space.totals.pinned_objects},
          {"pinned_disk_size", space.totals.pinned_disk_size},
          {"taken", space.taken},
          {"max_size", limit_of(space.size_max)},
          {"hits_since_start", space.reads}};
}

std::optional<index::Sort> parse_sort(std::string_view text) {
  using index::Sort;
  constexpr std::array<std::pair<std::string_view, Sort>, 4> kNames{{{"key", Sort::key},
                                                                     {"stored", Sort::stored},
                                                                     {"accessed", Sort::accessed},
                                                                     {"size", Sort::size}}};
  for (const auto& [name, sort] : kNames) {
    if (name == text) {
      return sort;
    }
  }
  return std::nullopt;
}

std::unexpected<Error> wrong(std::string message) {
  return fail(Errc::invalid_argument, std::move(message));
}

/// The space of a path or a query, for whoever decides whether it may be asked for.
std::string space_of_path(const Request& request) {
  return request.parameters.front();
}

std::string space_of_query(const Request& request) {
  auto query = Query::parse(request.query);
  return query ? query->take_text("space").value_or(std::string(http::kEverySpace))
               : std::string(http::kEverySpace);
}

/// Of a list: URLs are those of the archive, whether its space is named or not.
std::string space_of_list(const Request& request) {
  auto query = Query::parse(request.query);
  return query && query->take_text("url_prefix")
             ? query->take_text("space").value_or(std::string(store::kArchiveSpace))
             : space_of_query(request);
}

std::string space_of_sources(const Request& /*request*/) {
  return std::string(store::kArchiveSpace);
}

class InventoryRoutes {
 public:
  InventoryRoutes(store::Inventory& inventory,
                  const Clock& clock,
                  ops::Log& log,
                  ServerIdentity identity)
      : inventory_(inventory), clock_(clock), log_(log), identity_(std::move(identity)) {}

  Response stats(Request& request);
  Response list(Request& request);
  Response get_source(Request& request);
  Response remove_source(Request& request);
  Response get(Request& request);
  Response remove(Request& request);
  Response pin(Request& request, store::Pinned pinned);
  Response collect(Request& request);

 private:
  Response list_sources(const Query& asked);
  Response list_failure(const Error& error);
  Result<store::ListQuery> parse_list(std::string_view text);
  Result<store::CollectOrder> parse_order(std::string_view text);
  Result<std::string> take_space(Query& query);
  Response failure(const Error& error);
  static Response done(const Result<bool>& found, InventoryRoutes& routes);

  store::Inventory& inventory_;
  const Clock& clock_;
  ops::Log& log_;
  const ServerIdentity identity_;
};

/// 404 of the inventory is told apart from that of a path that does not exist.
Response no_object() {
  return http::make_error(404, "there is no such artifact");
}

Response InventoryRoutes::failure(const Error& error) {
  if (error.code == Errc::invalid_argument) {
    return http::make_error(400, error.message);
  }
  // After damage the index replaces its database, and is well again soon.
  if (error.code == Errc::unavailable || error.code == Errc::timeout ||
      error.code == Errc::corrupt) {
    log_.warn("the index could not be asked", {{"reason", error.message}});
    Response response = http::make_error(503, "the index cannot be asked now, try again");
    response.headers.add("Retry-After", "1");
    return response;
  }
  log_.error("an admin request failed", {{"reason", error.message}});
  return http::make_error(500, "the storage failed");
}

Response InventoryRoutes::done(const Result<bool>& found, InventoryRoutes& routes) {
  if (!found) {
    return routes.failure(found.error());
  }
  return *found ? http::make_response(204) : no_object();
}

Response InventoryRoutes::stats(Request& request) {
  const auto query = Query::parse(request.query);
  if (const auto sound = query ? query->finish() : std::unexpected(query.error()); !sound) {
    return failure(sound.error());
  }
  const auto stats = inventory_.stats();
  if (!stats) {
    return failure(stats.error());
  }
  ordered_json spaces = ordered_json::array();
  for (const store::SpaceStats& space : stats->spaces) {
    spaces.push_back(json_of(space));
  }
  const auto up = std::chrono::floor<std::chrono::seconds>(clock_.steady_now() - identity_.started);
  ordered_json document = {
      {"total_items", stats->downloads.sources},
      {"total_size_bytes", stats->downloads.file_size},
      {"total_accesses", stats->downloads.accesses},
      {"version", identity_.version},
      {"commit", identity_.commit},
      {"uptime_seconds", up.count()},
      {"index", {{"available", stats->index.available}, {"complete", stats->index.complete}}},
      {"taken", stats->taken},
      {"limits",
       {{"cache_max_size", limit_of(stats->size_max)},
        {"min_free_space", limit_of(stats->disk_free_min)},
        {"max_age_seconds", limit_of(static_cast<std::uint64_t>(stats->unused_max.count()))}}},
      {"disk", nullptr},
      {"spaces", std::move(spaces)}};
  if (const auto& disk = stats->disk) {
    document["disk"] = {{"size", disk->size}, {"available", disk->available}};
  }
  return answer(document);
}

Result<std::string> InventoryRoutes::take_space(Query& query) {
  std::string space = query.take_text("space").value_or("");
  if (!space.empty() && !inventory_.has_space(space)) {
    return wrong("space: there is no such space");
  }
  return space;
}

Result<store::ListQuery> InventoryRoutes::parse_list(std::string_view text) {
  store::ListQuery list;
  TRY_ASSIGN(Query query, Query::parse(text));
  TRY_ASSIGN(list.space, take_space(query));
  if (list.space.empty()) {
    list.space = inventory_.default_space();
  }
  list.key_prefix = query.take_text("prefix").value_or("");
  if (list.key_prefix.size() > kKeySizeMax) {
    return wrong("prefix: is longer than any key");
  }
  const auto sort = parse_sort(query.take_text("sort").value_or("key"));
  if (!sort) {
    return wrong("sort: takes key, stored, accessed or size");
  }
  list.sort = *sort;
  TRY(query.take_page(list));
  TRY(query.finish());
  return list;
}

Response InventoryRoutes::list(Request& request) {
  if (const auto asked = Query::parse(request.query);
      asked && admin::asks_for_sources(*asked, inventory_.archive_space())) {
    return list_sources(*asked);
  }
  const auto query = parse_list(request.query);
  if (!query) {
    return failure(query.error());
  }
  const auto page = inventory_.list(*query);
  if (!page) {
    return list_failure(page.error());
  }
  ordered_json artifacts = ordered_json::array();
  for (const Object& object : page->objects) {
    artifacts.push_back(json_of(object));
  }
  const ordered_json next = page->next.empty() ? ordered_json(nullptr) : ordered_json(page->next);
  return answer({{"artifacts", std::move(artifacts)}, {"next", next}});
}

/// Everything but the cursor has been looked at.
Response InventoryRoutes::list_failure(const Error& error) {
  return error.code == Errc::invalid_argument
             ? failure(Error{Errc::invalid_argument, "cursor: is not one of this query"})
             : failure(error);
}

Response InventoryRoutes::list_sources(const Query& asked) {
  const auto query = admin::parse_source_list(asked, inventory_.archive_space());
  if (!query) {
    return failure(query.error());
  }
  const auto page = inventory_.list_sources(*query);
  if (!page) {
    return list_failure(page.error());
  }
  ordered_json artifacts = ordered_json::array();
  for (const store::SourceRow& row : page->sources) {
    artifacts.push_back(admin::json_of(row));
  }
  const ordered_json next = page->next.empty() ? ordered_json(nullptr) : ordered_json(page->next);
  return answer({{"artifacts", std::move(artifacts)}, {"next", next}});
}

Response InventoryRoutes::get_source(Request& request) {
  const auto found = inventory_.find_source(request.parameters[0]);
  if (!found) {
    return failure(found.error());
  }
  return *found ? answer(admin::json_of(**found)) : no_object();
}

Response InventoryRoutes::remove_source(Request& request) {
  return done(inventory_.remove(inventory_.archive_space(), request.parameters[0]), *this);
}

Response InventoryRoutes::get(Request& request) {
  const auto found = inventory_.find(request.parameters[0], request.parameters[1]);
  if (!found) {
    return failure(found.error());
  }
  const std::optional<store::Facts>& facts = *found;
  if (!facts) {
    return no_object();
  }
  ordered_json document = json_of(facts->object);
  document["hash"] = nullptr;
  document["created_at"] = nullptr;
  if (const auto& sidecar = facts->sidecar) {
    document["hash"] = sidecar->hash.hex();
    document["created_at"] = sidecar->created_at; // the client's own number
  }
  return answer(document);
}

Response InventoryRoutes::remove(Request& request) {
  return done(inventory_.remove(request.parameters[0], request.parameters[1]), *this);
}

Response InventoryRoutes::pin(Request& request, store::Pinned pinned) {
  return done(inventory_.set_pinned(request.parameters[0], request.parameters[1], pinned), *this);
}

Result<store::CollectOrder> InventoryRoutes::parse_order(std::string_view text) {
  store::CollectOrder order;
  TRY_ASSIGN(Query query, Query::parse(text));
  TRY_ASSIGN(order.space, take_space(query));
  TRY_ASSIGN(order.size_max, query.take_size("max_size"));
  TRY_ASSIGN(order.unused_max, query.take_duration("older_than"));
  TRY(query.finish());
  return order;
}

Response InventoryRoutes::collect(Request& request) {
  const auto order = parse_order(request.query);
  if (!order) {
    return failure(order.error());
  }
  const auto collected = inventory_.collect(*order);
  if (!collected) {
    return failure(collected.error());
  }
  return answer({{"objects", collected->evicted.objects},
                 {"bytes", collected->evicted.bytes},
                 {"finished", collected->finished}});
}

} // namespace

void mount_inventory(http::Router& router,
                     store::Inventory& inventory,
                     const Clock& clock,
                     ops::Log& log,
                     const ServerIdentity& identity) {
  using http::Method;
  const auto routes = std::make_shared<InventoryRoutes>(inventory, clock, log, identity);
  const auto every = http::RouteAccess::admin();
  const auto by_query = http::RouteAccess::admin().with_space(space_of_query);
  const auto by_path = http::RouteAccess::admin().with_space(space_of_path);
  const auto add = [&](Method method,
                       std::string_view pattern,
                       const http::RouteAccess& access,
                       http::Handler handler) {
    router.add({.method = method,
                .pattern = pattern,
                .access = access,
                .handler = std::move(handler),
                .protocol = "admin"});
  };
  const auto by_list = http::RouteAccess::admin().with_space(space_of_list);
  constexpr std::string_view kOne = "/api/artifacts/{space}/{key}";
  constexpr std::string_view kPin = "/api/artifacts/{space}/{key}/pin";
  add(Method::get, "/api/stats", every, [routes](Request& r) { return routes->stats(r); });
  add(Method::get, "/api/artifacts", by_list, [routes](Request& r) { return routes->list(r); });
  if (!inventory.archive_space().empty()) {
    constexpr std::string_view kSource = "/api/artifacts/{id}";
    const auto by_id = http::RouteAccess::admin().with_space(space_of_sources);
    add(Method::get, kSource, by_id, [routes](Request& r) { return routes->get_source(r); });
    add(Method::delete_, kSource, by_id, [routes](Request& r) { return routes->remove_source(r); });
  }
  add(Method::get, kOne, by_path, [routes](Request& r) { return routes->get(r); });
  add(Method::delete_, kOne, by_path, [routes](Request& r) { return routes->remove(r); });
  add(Method::put, kPin, by_path, [routes](Request& r) {
    return routes->pin(r, store::Pinned::yes);
  });
  add(Method::delete_, kPin, by_path, [routes](Request& r) {
    return routes->pin(r, store::Pinned::no);
  });
  add(Method::post, "/api/gc", by_query, [routes](Request& r) { return routes->collect(r); });
}

} // namespace pkc::protocols
