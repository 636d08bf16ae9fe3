#include "admin/source_list.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/url.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

namespace pkc::protocols::admin {

namespace {

using index::SourceSort;

std::unexpected<Error> wrong(std::string problem) {
  return fail(Errc::invalid_argument, std::move(problem));
}

/// Lists of other spaces say key, stored and accessed, and so may this one.
std::optional<SourceSort> parse_sort(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, SourceSort>, 7> kNames{
      {{"url", SourceSort::url},
       {"key", SourceSort::url},
       {"size", SourceSort::size},
       {"age", SourceSort::age},
       {"stored", SourceSort::age},
       {"access", SourceSort::access},
       {"accessed", SourceSort::access}}};
  for (const auto& [name, sort] : kNames) {
    if (name == text) {
      return sort;
    }
  }
  return std::nullopt;
}

std::string format_time(index::Time time) {
  return format_utc(std::chrono::floor<std::chrono::seconds>(time));
}

} // namespace

bool asks_for_sources(Query query, std::string_view space) {
  if (query.take_text("url_prefix")) {
    return true;
  }
  return !space.empty() && query.take_text("space") == space && !query.take_text("prefix");
}

Result<store::SourceQuery> parse_source_list(Query query, std::string_view space) {
  store::SourceQuery list;
  list.space = query.take_text("space").value_or(std::string(space));
  if (space.empty() || list.space != space) {
    return wrong("url_prefix: the artifacts of this space have no URLs");
  }
  list.url_prefix = query.take_text("url_prefix").value_or("");
  if (list.url_prefix.size() > kUrlSizeMax) {
    return wrong("url_prefix: is longer than any URL");
  }
  const auto sort = parse_sort(query.take_text("sort").value_or("url"));
  if (!sort) {
    return wrong("sort: takes url, size, age or access");
  }
  list.sort = *sort;
  TRY(query.take_page(list));
  TRY(query.finish());
  return list;
}

nlohmann::ordered_json json_of(const store::SourceRow& row) {
  const std::string& type = row.source.content_type;
  return {{"id", row.key},
          {"source_url", row.source.source_url},
          {"content_hash", row.source.content_hash},
          {"storage_path", row.source.storage_path},
          {"file_size", row.source.file_size},
          {"content_type",
           type.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(type)},
          {"first_cached_at", format_time(row.source.first_cached_at)},
          {"last_accessed_at", format_time(row.last_accessed_at)},
          {"access_count", row.access_count}};
}

} // namespace pkc::protocols::admin
