// stats, ls, rm, pin, unpin, gc, index rebuild: the store as its operator sees it.
#include "admin_console.hpp"
#include "commands.hpp"
#include "console.hpp"
#include "exit_codes.hpp"
#include "progress.hpp"

#include <poll.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkc::cli {

namespace {

using nlohmann::ordered_json;

constexpr std::uint64_t kPageMax = 1000; // what the API gives at once
constexpr std::string_view kDefaultSpace = "polykit";

std::string text_of(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

std::string size_of(const ordered_json& value) {
  return value.is_number_unsigned() ? readable_size(value.get<std::uint64_t>()) : "none";
}

std::string json_text(const ordered_json& document, int indent) {
  return document.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string spaces_table(const ordered_json& stats) {
  std::vector<std::vector<std::string>> rows = {
      {"space", "objects", "size", "on disk", "limit", "pinned", "pinned size", "hits"}};
  for (const ordered_json& space : stats.at("spaces")) {
    rows.push_back({text_of(space.at("space")),
                    text_of(space.at("objects")),
                    size_of(space.at("size")),
                    size_of(space.at("disk_size")),
                    size_of(space.at("max_size")),
                    text_of(space.at("pinned_objects")),
                    size_of(space.at("pinned_disk_size")),
                    text_of(space.at("hits_since_start"))});
  }
  return table_of(rows, {false, true, true, true, true, true, true, true});
}

std::string stats_text(const ordered_json& stats) {
  const ordered_json& limits = stats.at("limits");
  const ordered_json& disk = stats.at("disk");
  const ordered_json& age = limits.at("max_age_seconds");
  const std::vector<std::vector<std::string>> rows = {
      {"taken", size_of(stats.at("taken"))},
      {"cache-max-size", size_of(limits.at("cache_max_size"))},
      {"min-free-space", size_of(limits.at("min_free_space"))},
      {"max-age", age.is_null() ? "none" : text_of(age) + "s"},
      {"free on disk", disk.is_null() ? "unknown" : size_of(disk.at("available"))},
      {"version", text_of(stats.at("version"))},
      {"up for", text_of(stats.at("uptime_seconds")) + "s"},
      {"index", stats.at("index").at("complete") == true ? "complete" : "not complete"}};
  return spaces_table(stats) + "\n" + table_of(rows, {false, false});
}

/// A sum that is too small is worse than none when nobody says so.
void warn_of_gaps(const ordered_json& stats) {
  if (stats.at("index").at("complete") != true) {
    print_error(
        "polykit-cache: the index does not know every object yet. A server brings it in step by "
        "itself; without one, use: polykit-cache index rebuild\n");
  }
}

/// A list has one kind or the other.
bool is_download(const ordered_json& artifact) {
  return artifact.contains("source_url");
}

std::vector<std::string> download_row(const ordered_json& download) {
  return {text_of(download.at("id")),
          size_of(download.at("file_size")),
          text_of(download.at("first_cached_at")),
          text_of(download.at("last_accessed_at")),
          text_of(download.at("access_count")),
          text_of(download.at("source_url"))};
}

std::vector<std::string> artifact_row(const ordered_json& artifact) {
  return {text_of(artifact.at("key")),
          size_of(artifact.at("size")),
          text_of(artifact.at("stored_at")),
          text_of(artifact.at("accessed_at")),
          text_of(artifact.at("hits")),
          artifact.at("pinned") == true ? "pinned" : ""};
}

int print_page(const ordered_json& artifacts, bool json, bool first) {
  if (json) {
    std::string lines;
    for (const ordered_json& artifact : artifacts) {
      lines += json_text(artifact, -1);
    }
    return print(lines);
  }
  std::vector<std::vector<std::string>> rows;
  const bool downloads = !artifacts.empty() && is_download(artifacts.front());
  if (first) {
    rows.push_back({"key", "size", "stored", "last used", "hits", downloads ? "url" : ""});
  }
  for (const ordered_json& artifact : artifacts) {
    rows.push_back(downloads ? download_row(artifact) : artifact_row(artifact));
  }
  return print(table_of(rows, {false, true, false, false, true, false}));
}

/// Asks for one page after the other, at most `limit` objects in all.
int list_pages(AdminConsole& console, const std::string& query, std::uint64_t limit) {
  std::string cursor;
  for (bool first = true; first || (!cursor.empty() && limit > 0); first = false) {
    const std::uint64_t size = std::min(limit, kPageMax);
    std::string target =
        "/api/artifacts" + query + (query.empty() ? "?" : "&") + "limit=" + std::to_string(size);
    target += cursor.empty() ? "" : "&cursor=" + encode(cursor);
    const auto page = console.get(target);
    if (!page) {
      return console.failure();
    }
    const ordered_json& artifacts = page->at("artifacts");
    if (const int printed = print_page(artifacts, console.json(), first); printed != kExitOk) {
      return printed;
    }
    limit -= std::min<std::uint64_t>(limit, artifacts.size());
    cursor = page->at("next").is_null() ? "" : text_of(page->at("next"));
  }
  return kExitOk;
}

/// Does one thing to each key, also behind one that fails.
int for_each_key(const Invocation& invocation,
                 const std::string& method,
                 std::string_view tail,
                 std::string_view done) {
  auto opened = AdminConsole::open(invocation, app::Use::changing);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const std::string space =
      encode(invocation.arguments.value("space").value_or(std::string(kDefaultSpace)));
  int status = kExitOk;
  for (const std::string& key : invocation.arguments.operands) {
    const auto told =
        console.tell(method, "/api/artifacts/" + space + "/" + encode(key) + std::string(tail));
    if (told == AdminConsole::Done::failed) {
      return console.failure(); // so would the others
    }
    if (told == AdminConsole::Done::absent) {
      print_error("polykit-cache: there is no artifact " + key + "\n");
      status = kExitFailed;
    } else if (const int printed = print(std::string(done) + " " + key + "\n");
               printed != kExitOk) {
      return printed;
    }
  }
  return status;
}

std::string rebuilt_text(const app::RebuildProgress& progress) {
  return std::to_string(progress.objects) + " objects; " + std::to_string(progress.added) +
         " added to the index, " + std::to_string(progress.removed) + " removed";
}

std::string running_text(const app::RebuildProgress& progress) {
  return "directory " + std::to_string(progress.shards_done) + " of " +
         std::to_string(progress.shards) + ", " + rebuilt_text(progress);
}

int print_rebuilt(const app::RebuildProgress& rebuilt, bool json) {
  return print(json ? json_text({{"objects", rebuilt.objects},
                                 {"added", rebuilt.added},
                                 {"removed", rebuilt.removed}},
                                -1)
                    : rebuilt_text(rebuilt) + "\n");
}

int rebuild_directory(const Invocation& invocation) {
  const auto loaded = load_or_print_problems(invocation);
  if (!loaded) {
    return kExitUsage;
  }
  ProgressLine line;
  const auto rebuilt = app::rebuild_index(
      loaded->settings,
      [&](const app::RebuildProgress& progress) { line.show(running_text(progress)); });
  line.end();
  if (!rebuilt) {
    print_error("polykit-cache: " + rebuilt.error().message + "\n");
    return kExitFailed;
  }
  return print_rebuilt(*rebuilt, invocation.arguments.has("json"));
}

/// Asks until it is over. What the server says counts for the index that it began with: when it
/// knows of nothing any more, it has been started anew.
int rebuild_at_server(const Invocation& invocation) {
  constexpr int kPauseMs = 200;
  auto opened = AdminConsole::open(invocation, app::Use::changing);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  auto status = console.ask("POST", "/api/index/rebuild");
  ProgressLine line;
  for (; status; status = console.get("/api/index/rebuild")) {
    const app::RebuildProgress progress{.shards = status->at("shards").get<std::size_t>(),
                                        .shards_done = status->at("shards_done").get<std::size_t>(),
                                        .objects = status->at("objects").get<std::uint64_t>(),
                                        .added = status->at("added").get<std::uint64_t>(),
                                        .removed = status->at("removed").get<std::uint64_t>()};
    const std::string state = text_of(status->at("state"));
    if (state == "done") {
      line.end();
      return print_rebuilt(progress, console.json());
    }
    if (state != "waiting" && state != "running") {
      line.end();
      print_error(
          "polykit-cache: the server has broken it off; its log says why. Ask again later\n");
      return kExitFailed;
    }
    line.show(state == "waiting" ? "waiting for the server to begin" : running_text(progress));
    ::poll(nullptr, 0, kPauseMs);
  }
  line.end();
  return console.failure();
}

} // namespace

int run_stats(const Invocation& invocation) {
  auto opened = AdminConsole::open(invocation, app::Use::reading);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const auto stats = console.get("/api/stats");
  if (!stats) {
    return console.failure();
  }
  warn_of_gaps(*stats);
  return print(console.json() ? json_text(*stats, 2) : stats_text(*stats));
}

int run_ls(const Invocation& invocation) {
  Invocation checked = invocation;
  const std::uint64_t limit =
      take_number(checked.arguments, "limit", {.initial = UINT64_MAX, .min = 1, .max = UINT64_MAX});
  auto opened = AdminConsole::open(checked, app::Use::reading);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const auto stats = console.get("/api/stats");
  if (!stats) {
    return console.failure();
  }
  warn_of_gaps(*stats);
  const std::string query = query_of(invocation.arguments,
                                     {{"space", "space"},
                                      {"prefix", "prefix"},
                                      {"url-prefix", "url_prefix"},
                                      {"sort", "sort"},
                                      {"order", "order"}});
  return list_pages(console, query, limit);
}

int run_rm(const Invocation& invocation) {
  return for_each_key(invocation, "DELETE", "", "removed");
}

int run_pin(const Invocation& invocation) {
  return for_each_key(invocation, "PUT", "/pin", "pinned");
}

int run_unpin(const Invocation& invocation) {
  return for_each_key(invocation, "DELETE", "/pin", "unpinned");
}

int run_gc(const Invocation& invocation) {
  auto opened = AdminConsole::open(invocation, app::Use::changing);
  if (const int* const status = std::get_if<int>(&opened)) {
    return *status;
  }
  auto& console = std::get<AdminConsole>(opened);
  const std::string query =
      query_of(invocation.arguments,
               {{"space", "space"}, {"to-size", "max_size"}, {"older-than", "older_than"}});
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  ProgressLine line;
  for (bool finished = false; !finished;) {
    const auto part = console.ask("POST", "/api/gc" + query);
    if (!part) {
      return console.failure();
    }
    objects += part->at("objects").get<std::uint64_t>();
    bytes += part->at("bytes").get<std::uint64_t>();
    finished = part->at("finished") == true;
    line.show(std::to_string(objects) + " objects removed, " + readable_size(bytes));
  }
  line.end();
  return print(console.json()
                   ? json_text({{"objects", objects}, {"bytes", bytes}}, -1)
                   : std::to_string(objects) + " objects removed, " + readable_size(bytes) + "\n");
}

int run_index_rebuild(const Invocation& invocation) {
  return invocation.arguments.has("url") ? rebuild_at_server(invocation)
                                         : rebuild_directory(invocation);
}

} // namespace pkc::cli
