// What an operator asks about the objects, without a socket.
#include "support/fake_clock.hpp"
#include "support/fault_file_system.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"
#include "pkc/protocols/admin.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/content_store.hpp"
#include "pkc/store/inventory.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using namespace std::chrono_literals;
using nlohmann::json;
using pkc::http::Method;
using pkc::http::Response;
using pkc::store::disk_size_of;
using pkc::store::Key;

namespace {

std::string key_of(unsigned number) {
  std::string text = std::to_string(1000 + number);
  text.resize(40, 'a');
  return text;
}

struct World {
  explicit World(pkc::store::RoomLimits limits = {}, std::chrono::seconds unused_max = 0s)
      : backend(pkc::blob::make_disk_backend(disk, {.root = "/cache"}).value()),
        index(pkc::index::make_memory_index(clock)),
        room(std::move(limits)),
        catalog({.backend = *backend,
                 .key_locks = locks,
                 .index = *index,
                 .room = room,
                 .log = pkc::ops::null_log()},
                "polykit"),
        store(pkc::store::make_content_store(
            *backend, clock, pkc::ops::null_log(), metrics, store_options())),
        inventory({.backend = *backend,
                   .index = *index,
                   .room = room,
                   .clock = clock,
                   .log = pkc::ops::null_log(),
                   .metrics = metrics},
                  unused_max) {
    inventory.add_space({.catalog = catalog, .store = *store, .backend = *backend});
    pkc::protocols::mount_inventory(
        router,
        inventory,
        clock,
        pkc::ops::null_log(),
        {.version = "1.2.3", .commit = "abc", .started = clock.steady_now()});
  }

  pkc::store::StoreOptions store_options() {
    pkc::store::StoreOptions options;
    options.key_locks = &locks;
    options.catalog = &catalog;
    return options;
  }

  /// Whose objects make no room for others, and take something with them when they are removed.
  void add_archive(const std::function<void(const Key&)>& removed) {
    archive_backend = backend->make_space("archive").value();
    archive_catalog =
        std::make_unique<pkc::store::Catalog>(pkc::store::CatalogParts{.backend = *archive_backend,
                                                                       .key_locks = locks,
                                                                       .index = *index,
                                                                       .room = room,
                                                                       .log = pkc::ops::null_log()},
                                              "archive");
    pkc::store::StoreOptions options = store_options();
    options.catalog = archive_catalog.get();
    archive = pkc::store::make_content_store(
        *archive_backend, clock, pkc::ops::null_log(), metrics, options);
    inventory.add_space({.catalog = *archive_catalog,
                         .store = *archive,
                         .backend = *archive_backend,
                         .evictable = pkc::store::Evictable::no,
                         .remove = [this, removed](const Key& key) {
                           removed(key);
                           return archive->remove(key);
                         }});
  }
  void put_archived(unsigned number) {
    clock.advance(1s);
    const auto writer = archive->put(Key::parse_hex(key_of(number)).value()).value();
    REQUIRE(writer->write(pkc::as_bytes(std::string("archived"))).has_value());
    REQUIRE(writer->commit({.created_at = 8}).has_value());
  }

  void put(unsigned number, std::size_t size = 100) {
    clock.advance(1s);
    const auto writer = store->put(Key::parse_hex(key_of(number)).value()).value();
    REQUIRE(writer->write(pkc::as_bytes(std::string(size, 'x'))).has_value());
    REQUIRE(writer->commit({.created_at = 7}).has_value());
  }
  void read(unsigned number) {
    clock.advance(1s);
    REQUIRE(store->open(Key::parse_hex(key_of(number)).value()).value() != nullptr);
  }

  Response send(Method method, std::string_view target, std::string_view peer = "127.0.0.1") const {
    pkc::http::Request request;
    request.method = method;
    const auto question = target.find('?');
    request.path = target.substr(0, question);
    request.query = question == std::string_view::npos ? "" : target.substr(question + 1);
    request.client_address = peer;
    return router.dispatch(request);
  }
  json get(std::string_view target) const {
    const Response response = send(Method::get, target);
    REQUIRE(response.status == 200);
    return json::parse(std::get<std::string>(response.body));
  }
  std::vector<std::string> keys(const std::string& query) const {
    std::vector<std::string> keys;
    const json page = get("/api/artifacts?" + query);
    for (const json& artifact : page["artifacts"]) {
      keys.push_back(artifact["key"]);
    }
    return keys;
  }

  pkc::test::FaultFileSystem disk;
  pkc::test::FakeClock clock;
  pkc::ops::Metrics metrics;
  pkc::locks::KeyLocks locks;
  std::unique_ptr<pkc::blob::Backend> backend;
  std::unique_ptr<pkc::index::Index> index;
  pkc::store::Room room;
  pkc::store::Catalog catalog;
  std::unique_ptr<pkc::store::ContentStore> store;
  pkc::store::Inventory inventory;
  pkc::http::Router router;
  std::unique_ptr<pkc::blob::Backend> archive_backend;
  std::unique_ptr<pkc::store::Catalog> archive_catalog;
  std::unique_ptr<pkc::store::ContentStore> archive;
};

std::string one(unsigned number, std::string_view tail = "") {
  return "/api/artifacts/polykit/" + key_of(number).append(tail);
}

std::string error_of(const Response& response) {
  return json::parse(std::get<std::string>(response.body))["error"];
}

} // namespace

TEST_SUITE("protocols::inventory") {
  TEST_CASE("stats: totals of a space, limits and the index") {
    World world({.size_max = 1 << 20, .space_size_max = {{"polykit", 1 << 19}}}, 60s);
    world.put(1, 100);
    world.put(2, 5000);
    world.read(2);
    REQUIRE(world.send(Method::put, one(1, "/pin")).status == 204);

    const json stats = world.get("/api/stats");

    CHECK(stats["version"] == "1.2.3");
    CHECK(stats["uptime_seconds"] == 3);
    CHECK(stats["index"]["available"] == true);
    CHECK(
        stats["limits"] ==
        json({{"cache_max_size", 1 << 20}, {"min_free_space", nullptr}, {"max_age_seconds", 60}}));
    CHECK(stats["taken"] == disk_size_of(100) + disk_size_of(5000));
    REQUIRE(stats["spaces"].size() == 1);
    CHECK(stats["spaces"][0] == json({{"space", "polykit"},
                                      {"objects", 2},
                                      {"size", 5100},
                                      {"disk_size", disk_size_of(100) + disk_size_of(5000)},
                                      {"pinned_objects", 1},
                                      {"pinned_disk_size", disk_size_of(100)},
                                      {"taken", disk_size_of(100) + disk_size_of(5000)},
                                      {"max_size", 1 << 19},
                                      {"hits_since_start", 1}}));
  }

  TEST_CASE("list: pages follow each other, filtered and in every order") {
    World world;
    for (unsigned number = 0; number < 7; ++number) {
      world.put(number, std::size_t{100} * (7 - number));
    }
    world.read(0);

    const json first = world.get("/api/artifacts?limit=5");
    const json second = world.get("/api/artifacts?limit=5&cursor=" + std::string(first["next"]));

    CHECK(first["artifacts"].size() == 5);
    CHECK(first["artifacts"][0]["key"] == key_of(0));
    REQUIRE(second["artifacts"].size() == 2);
    CHECK(second["artifacts"][1]["key"] == key_of(6));
    CHECK(second["next"] == nullptr);
    CHECK(world.keys("prefix=1003") == std::vector{key_of(3)});
    CHECK(world.keys("prefix=1009").empty());
    CHECK(world.keys("sort=size&limit=1") == std::vector{key_of(6)});
    CHECK(world.keys("sort=size&order=desc&limit=1") == std::vector{key_of(0)});
    CHECK(world.keys("sort=stored&order=desc&limit=1&space=polykit") == std::vector{key_of(6)});
    CHECK(world.keys("sort=accessed&order=desc&limit=1") == std::vector{key_of(0)});
  }

  TEST_CASE("list: a wrong parameter is named") {
    World world;
    world.put(1);
    world.put(2);
    const std::string cursor = world.get("/api/artifacts?limit=1")["next"];
    const std::pair<std::string, std::string> rows[] = {
        {"limit=0", "limit: takes a number from 1 to 1000"},
        {"limit=1001", "limit: takes a number from 1 to 1000"},
        {"limit=99999999999999999999", "limit: takes a number from 1 to 1000"},
        {"limit=-1", "limit: takes a number from 1 to 1000"},
        {"limit=5x", "limit: takes a number from 1 to 1000"},
        {"sort=age", "sort: takes key, stored, accessed or size"},
        {"order=up", "order: takes asc or desc"},
        {"space=nix", "space: there is no such space"},
        {"cursor=abc", "cursor: is not one of this query"},
        {"sort=size&cursor=" + cursor, "cursor: is not one of this query"},
        {"cursor=" + std::string(20000, 'a'), "cursor: is not one of ours"},
        {"prefix=" + std::string(129, 'a'), "prefix: is longer than any key"},
        {"colour=red", "colour: there is no such parameter"},
        {"limit=1&limit=2", "limit: is given twice"},
        {"prefix=%4", "prefix: has broken percent-encoding"},
        {"prefix=%zz", "prefix: has broken percent-encoding"},
    };
    for (const auto& [query, message] : rows) {
      CAPTURE(query);
      const Response response = world.send(Method::get, "/api/artifacts?" + query);
      CHECK(response.status == 400);
      CHECK(error_of(response) == message);
    }
  }

  TEST_CASE("one object: its facts, with those of the sidecar") {
    World world;
    world.put(1);
    world.read(1);

    const json facts = world.get(one(1));

    CHECK(facts["key"] == key_of(1));
    CHECK(facts["size"] == 100);
    CHECK(facts["hits"] == 1);
    CHECK(facts["pinned"] == false);
    CHECK(facts["stored_at"] == "2026-01-01T00:00:01Z");
    CHECK(facts["accessed_at"] == "2026-01-01T00:00:02Z");
    CHECK(facts["created_at"] == 7);
    CHECK(std::string(facts["hash"]).size() == 64);
  }

  TEST_CASE("one object: what does not exist is 404, whatever is asked") {
    World world;
    world.put(1);
    const std::string others[] = {one(2),
                                  "/api/artifacts/nix/" + key_of(1),
                                  "/api/artifacts/polykit/..%2f..%2fetc",
                                  "/api/artifacts/polykit/" + std::string(129, 'a')};
    for (const std::string& target : others) {
      CAPTURE(target);
      CHECK(world.send(Method::get, target).status == 404);
      CHECK(world.send(Method::delete_, target).status == 404);
      CHECK(world.send(Method::put, target + "/pin").status == 404);
      CHECK(world.send(Method::delete_, target + "/pin").status == 404);
    }
    CHECK(world.send(Method::get, one(1)).status == 200);
  }

  TEST_CASE("remove: the object is gone for everybody, and out of the sums") {
    World world;
    world.put(1);

    CHECK(world.send(Method::delete_, one(1)).status == 204);

    CHECK(world.store->open(Key::parse_hex(key_of(1)).value()).value() == nullptr);
    CHECK(world.send(Method::delete_, one(1)).status == 404);
    CHECK(world.get("/api/stats")["spaces"][0]["objects"] == 0);
    CHECK(world.room.taken() == 0);
  }

  TEST_CASE("gc: least recently used first, pinned never, until the size is reached") {
    World world;
    for (unsigned number = 0; number < 4; ++number) {
      world.put(number);
    }
    world.read(1);
    REQUIRE(world.send(Method::put, one(0, "/pin")).status == 204);
    const std::string size = std::to_string(2 * disk_size_of(100));

    const Response response = world.send(Method::post, "/api/gc?max_size=" + size);

    REQUIRE(response.status == 200);
    CHECK(json::parse(std::get<std::string>(response.body)) ==
          json({{"objects", 2}, {"bytes", 2 * disk_size_of(100)}, {"finished", true}}));
    CHECK(world.keys("") == std::vector{key_of(0), key_of(1)});
  }

  TEST_CASE("gc: what nobody has read for so long") {
    World world;
    world.put(0);
    world.put(1);
    world.clock.advance(1h);
    world.read(0);

    REQUIRE(world.send(Method::post, "/api/gc?older_than=30m").status == 200);

    CHECK(world.keys("") == std::vector{key_of(0)});
  }

  TEST_CASE("gc: to the limits of the server") {
    World world({.size_max = 10 * disk_size_of(100), .evict_to = 50}, 3600s);
    for (unsigned number = 0; number < 8; ++number) {
      world.put(number);
    }

    REQUIRE(world.send(Method::post, "/api/gc").status == 200);
    CHECK(world.keys("").size() == 5);

    world.clock.advance(2h);
    REQUIRE(world.send(Method::post, "/api/gc").status == 200);
    CHECK(world.keys("").empty());
  }

  TEST_CASE("spaces: each with its own objects, facts and way to go") {
    World world;
    std::vector<std::string> removed;
    world.add_archive([&](const Key& key) { removed.push_back(key.id()); });
    world.put(1);
    world.put_archived(1);
    world.put_archived(2);

    CHECK(world.keys("space=archive") == std::vector{key_of(1), key_of(2)});
    CHECK(world.keys("") == std::vector{key_of(1)});
    const json facts = world.get("/api/artifacts/archive/" + key_of(2));
    CHECK(facts["created_at"] == 8);
    CHECK(std::string(facts["hash"]).size() == 64);

    CHECK(world.send(Method::delete_, "/api/artifacts/archive/" + key_of(1)).status == 204);
    CHECK(world.send(Method::delete_, one(2)).status == 404);
    CHECK(removed == std::vector{key_of(1)});
    CHECK(world.keys("space=archive") == std::vector{key_of(2)});
    CHECK(world.keys("") == std::vector{key_of(1)});
  }

  TEST_CASE("gc: what makes no room for others goes only when its space is named") {
    World world({}, 60s);
    std::vector<std::string> removed;
    world.add_archive([&](const Key& key) { removed.push_back(key.id()); });
    world.put_archived(1);
    world.put(2);
    world.clock.advance(2h);

    for (const std::string_view query : {"?max_size=0", "?older_than=1s", ""}) {
      CAPTURE(query);
      REQUIRE(world.send(Method::post, "/api/gc" + std::string(query)).status == 200);
      CHECK(world.keys("").empty());
      CHECK(world.keys("space=archive") == std::vector{key_of(1)});
      world.put(2);
      world.clock.advance(2h);
    }
    REQUIRE(world.send(Method::post, "/api/gc?max_size=0&space=archive").status == 200);
    CHECK(world.keys("space=archive").empty());
    CHECK(removed == std::vector{key_of(1)}); // with what hangs on it
    CHECK(world.keys("") == std::vector{key_of(2)});
  }

  TEST_CASE("gc: a wrong parameter is named, and nothing goes") {
    World world;
    world.put(1);
    for (const std::string_view query : {"max_size=x", "older_than=5y", "space=x", "maxsize=1"}) {
      CAPTURE(query);
      const Response response = world.send(Method::post, "/api/gc?" + std::string(query));
      CHECK(response.status == 400);
      CHECK(error_of(response).starts_with(query.substr(0, query.find('='))));
    }
    CHECK(world.keys("").size() == 1);
  }

  TEST_CASE("rebuild: is asked for once at a time, and told how far it is") {
    World world;
    pkc::store::Rebuild rebuild;
    pkc::protocols::mount_rebuild(world.router, rebuild);
    const std::string path = "/api/index/rebuild";
    CHECK(world.get(path)["state"] == "none");
    CHECK_FALSE(rebuild.take());

    const Response asked = world.send(Method::post, path);
    CHECK(asked.status == 202);
    CHECK(json::parse(std::get<std::string>(asked.body))["state"] == "waiting");
    CHECK(world.send(Method::post, path).status == 409);
    CHECK(rebuild.take());
    CHECK_FALSE(rebuild.take());
    CHECK(error_of(world.send(Method::post, path)) == "the index is being rebuilt already");
    rebuild.report({.shards = 9, .shards_done = 4, .objects = 30, .added = 2, .removed = 1});
    CHECK(world.get(path) == json{{"state", "running"},
                                  {"shards", 9},
                                  {"shards_done", 4},
                                  {"objects", 30},
                                  {"added", 2},
                                  {"removed", 1}});

    rebuild.end(false);
    CHECK(world.get(path)["state"] == "failed");
    CHECK(world.send(Method::post, path).status == 202);
    CHECK(world.get(path)["objects"] == 0);
    CHECK(rebuild.take());
    rebuild.end(true);
    CHECK(world.get(path)["state"] == "done");
    CHECK(world.send(Method::post, path, "192.0.2.1").status == 403);
    CHECK(world.send(Method::get, path, "192.0.2.1").status == 403);
  }

  TEST_CASE("access: nobody but this machine, while there are no tokens") {
    World world;
    world.put(1);
    for (const auto& [method, target] :
         {std::pair(Method::get, std::string("/api/stats")),
          std::pair(Method::get, std::string("/api/artifacts")),
          std::pair(Method::get, one(1)),
          std::pair(Method::delete_, one(1)),
          std::pair(Method::put, one(1, "/pin")),
          std::pair(Method::delete_, one(1, "/pin")),
          std::pair(Method::post, std::string("/api/gc?max_size=0"))}) {
      CAPTURE(target);
      CHECK(world.send(method, target, "192.0.2.1").status == 403);
    }
    CHECK(world.get("/api/stats")["spaces"][0]["objects"] == 1);
  }
}
