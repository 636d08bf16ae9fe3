#include "pkc/store/archive.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <utility>

namespace pkc::store {

namespace {

using nlohmann::ordered_json;

constexpr int kVersion = 1;

std::int64_t seconds_of(WallTime time) {
  return time.time_since_epoch().count();
}

void add_text(ordered_json& document, std::string_view name, const std::string& value) {
  if (!value.empty()) {
    document[name] = value;
  }
}

std::unexpected<Error> damaged(std::string what) {
  return fail(Errc::corrupt, "the record of a download " + std::move(what));
}

Result<std::string> take_text(const ordered_json& document, std::string_view name) {
  const auto member = document.find(name);
  if (member == document.end()) {
    return std::string();
  }
  if (!member->is_string()) {
    return damaged("has a wrong " + std::string(name));
  }
  return member->get<std::string>();
}

Result<std::optional<WallTime>> take_time(const ordered_json& document, std::string_view name) {
  const auto member = document.find(name);
  if (member == document.end()) {
    return std::nullopt;
  }
  if (!member->is_number_integer()) {
    return damaged("has a wrong " + std::string(name));
  }
  return WallTime(std::chrono::seconds(member->get<std::int64_t>()));
}

Result<WallTime> need_time(const ordered_json& document, std::string_view name) {
  TRY_ASSIGN(const auto time, take_time(document, name));
  return time ? Result<WallTime>(*time) : damaged("has no " + std::string(name));
}

Result<std::vector<Checksum>> take_checksums(const ordered_json& document) {
  std::vector<Checksum> checksums;
  const auto member = document.find("checksums");
  if (member == document.end()) {
    return checksums;
  }
  for (const ChecksumAlgorithm algorithm : kChecksumAlgorithms) {
    TRY_ASSIGN(const std::string hex, take_text(*member, to_string(algorithm)));
    if (!hex.empty()) {
      auto checksum = parse_checksum(algorithm, hex);
      if (!checksum) {
        return damaged("has a wrong checksum");
      }
      checksums.push_back(*std::move(checksum));
    }
  }
  return checksums;
}

Result<std::vector<std::string>> take_previous(const ordered_json& document) {
  std::vector<std::string> previous;
  const auto member = document.find("previous");
  if (member == document.end()) {
    return previous;
  }
  for (const ordered_json& hash : *member) {
    if (!hash.is_string() || !Sha256::from_hex(hash.get_ref<const std::string&>())) {
      return damaged("has a wrong previous");
    }
    previous.push_back(hash.get<std::string>());
  }
  return previous;
}

Result<void> take_required(const ordered_json& document, ArchivedSource& source) {
  const auto version = document.find("version");
  const auto size = document.find("file_size");
  if (version == document.end() || *version != kVersion || size == document.end() ||
      !size->is_number_unsigned()) {
    return damaged("is not one of this version");
  }
  source.size = size->get<ByteCount>();
  TRY_ASSIGN(source.source_url, take_text(document, "source_url"));
  TRY_ASSIGN(const std::string hash, take_text(document, "content_hash"));
  const auto digest = Sha256::from_hex(hash);
  if (source.source_url.empty() || !digest) {
    return damaged("does not say what it is of");
  }
  source.content = *digest;
  TRY_ASSIGN(source.first_cached_at, need_time(document, "first_cached_at"));
  TRY_ASSIGN(source.fetched_at, need_time(document, "fetched_at"));
  TRY_ASSIGN(source.checked_at, need_time(document, "checked_at"));
  return {};
}

} // namespace

std::optional<std::string> format_source(const ArchivedSource& source) {
  ordered_json document = {{"version", kVersion},
                           {"source_url", source.source_url},
                           {"content_hash", source.content.hex()},
                           {"file_size", source.size}};
  add_text(document, "content_type", source.content_type);
  add_text(document, "content_encoding", source.content_encoding);
  add_text(document, "etag", source.etag);
  add_text(document, "last_modified", source.last_modified);
  document["first_cached_at"] = seconds_of(source.first_cached_at);
  document["fetched_at"] = seconds_of(source.fetched_at);
  document["checked_at"] = seconds_of(source.checked_at);
  if (source.changed_at) {
    document["changed_at"] = seconds_of(*source.changed_at);
  }
  for (const Checksum& checksum : source.checksums) {
    document["checksums"][to_string(checksum.algorithm)] = checksum.hex;
  }
  if (!source.previous.empty()) {
    document["previous"] = source.previous;
  }
  // Header fields may hold bytes that are not UTF-8, and a strict dump would throw.
  std::string text = document.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  if (text.size() > kRecordSizeMax) {
    return std::nullopt;
  }
  return text;
}

Result<ArchivedSource> parse_source(std::string_view text) {
  const auto document = ordered_json::parse(text, nullptr, false);
  if (!document.is_object()) {
    return damaged("is not a JSON object");
  }
  ArchivedSource source;
  TRY(take_required(document, source));
  TRY_ASSIGN(source.content_type, take_text(document, "content_type"));
  TRY_ASSIGN(source.content_encoding, take_text(document, "content_encoding"));
  TRY_ASSIGN(source.etag, take_text(document, "etag"));
  TRY_ASSIGN(source.last_modified, take_text(document, "last_modified"));
  TRY_ASSIGN(source.changed_at, take_time(document, "changed_at"));
  TRY_ASSIGN(source.checksums, take_checksums(document));
  TRY_ASSIGN(source.previous, take_previous(document));
  return source;
}

Result<std::optional<ArchivedSource>> Archive::read(const Key& key,
                                                    const std::optional<std::string>& text) {
  if (!text) {
    return std::nullopt;
  }
  auto source = parse_source(*text);
  if (!source || key_of(source->source_url) != key) {
    parts_.log.warn("the record of a download cannot be read; it counts as absent",
                    {{"key", key.id()}});
    return std::nullopt;
  }
  return *std::move(source);
}

Result<std::optional<ArchivedSource>> Archive::get(const Key& key) {
  TRY_ASSIGN(const auto text, parts_.records.peek(key));
  return read(key, text);
}

Result<std::optional<Archive::Found>> Archive::find(std::string_view url) {
  const Key key = key_of(url);
  TRY_ASSIGN(const auto text, parts_.records.get(key));
  TRY_ASSIGN(auto source, read(key, text));
  if (!source) {
    return std::nullopt;
  }
  TRY_ASSIGN(auto content, parts_.contents.open(source->content));
  if (!content) {
    return std::nullopt;
  }
  return Found{*std::move(source), std::move(content)};
}

/// REQUIRES: records_mutex_ is held.
Result<void> Archive::put(const Key& key, const ArchivedSource& source) {
  const auto text = format_source(source);
  if (!text) {
    return fail(Errc::too_large, "what the origin says of the file is too long to be kept");
  }
  const Result<void> stored = parts_.records.put(key, *text);
  changes_.fetch_add(1, std::memory_order_release); // also when it failed, as the old may be gone
  TRY(stored);
  note(key, source);
  return {};
}

void Archive::note(const Key& key, const ArchivedSource& source) const {
  if (parts_.index == nullptr) {
    return;
  }
  const std::string hash = source.content.hex();
  std::string path(parts_.content_space); // as of the layout of blob/disk.hpp
  path.append("/").append(hash, 0, 2).append("/").append(hash, 2, 2).append("/");
  path.append(hash).append(".zst");
  parts_.index->note_source(kArchiveSpace,
                            key.id(),
                            {.source_url = source.source_url,
                             .content_hash = hash,
                             .storage_path = std::move(path),
                             .file_size = source.size,
                             .content_type = source.content_type,
                             .first_cached_at = source.first_cached_at});
}

Result<void> Archive::publish(ArchivedSource source) {
  const std::lock_guard lock(records_mutex_);
  const Key key = key_of(source.source_url);
  TRY_ASSIGN(const auto content, parts_.contents.open(source.content));
  if (!content) {
    return fail(Errc::unavailable, "the content was removed meanwhile");
  }
  source.fetched_at = parts_.clock.wall_now();
  source.checked_at = source.fetched_at;
  source.first_cached_at = source.fetched_at;
  TRY_ASSIGN(const auto known, get(key));
  if (known) {
    source.first_cached_at = known->first_cached_at;
    source.previous = known->previous;
    std::erase(source.previous, source.content.hex());
    if (known->content != source.content) {
      source.previous.insert(source.previous.begin(), known->content.hex());
      source.previous.resize(std::min(source.previous.size(), kPreviousContentsMax));
    }
  }
  return put(key, source);
}

Result<void> Archive::amend(std::string_view url,
                            const Sha256& content,
                            const std::function<void(ArchivedSource&)>& change) {
  const std::lock_guard lock(records_mutex_);
  const Key key = key_of(url);
  TRY_ASSIGN(auto known, get(key));
  if (!known || known->content != content) {
    return {};
  }
  change(*known);
  const Result<void> changed = put(key, *known);
  const bool too_long = !changed && changed.error().code == Errc::too_large;
  return too_long ? Result<void>() : changed; // then the record stays as it was
}

/// Whether no record has the content, as far as anybody can tell. REQUIRES: records_mutex_ is held,
/// so that none of this process comes to have it meanwhile.
Result<bool> Archive::is_unused(const std::string& content_hash) const {
  if (parts_.index == nullptr) {
    return false;
  }
  TRY_ASSIGN(const std::size_t others, parts_.index->await_others());
  if (others > 0 || !parts_.index->state().complete) {
    return false;
  }
  TRY_ASSIGN(const auto unknown, parts_.index->without_source(kArchiveSpace, "", 1));
  TRY_ASSIGN(const auto users, parts_.index->sources_of(kArchiveSpace, content_hash, 1));
  TRY_ASSIGN(const auto content, parts_.index->find(parts_.content_space, content_hash));
  return unknown.empty() && users.empty() && !(content && content->pinned);
}

Result<bool> Archive::remove(const Key& key) {
  const std::lock_guard lock(records_mutex_);
  TRY_ASSIGN(const auto source, get(key));
  const Result<bool> gone = parts_.records.remove(key);
  changes_.fetch_add(1, std::memory_order_release);
  TRY_ASSIGN(const bool removed, gone);
  if (!removed || !source) {
    return removed;
  }
  TRY(remove_unused(source->content.hex()));
  for (const std::string& earlier : source->previous) {
    TRY(remove_unused(earlier));
  }
  return true;
}

/// REQUIRES: as is_unused().
Result<void> Archive::remove_unused(const std::string& content_hash) {
  const auto unused = is_unused(content_hash);
  if (!unused) {
    parts_.log.warn("the index cannot tell who else has a content; it stays",
                    {{"content", content_hash}, {"reason", unused.error().message}});
    return {};
  }
  const auto digest = Sha256::from_hex(content_hash);
  if (*unused && digest) {
    TRY(parts_.contents.remove(*digest));
  }
  return {};
}

Result<bool> Archive::describe(const std::stop_token& stop) {
  constexpr std::size_t kBatch = 1000; // far less than may wait in an index
  if (parts_.index == nullptr) {
    return true;
  }
  TRY(parts_.index->flush());
  std::string from;
  while (!stop.stop_requested()) {
    TRY_ASSIGN(const auto keys, parts_.index->without_source(kArchiveSpace, from, kBatch));
    if (keys.empty()) {
      return true;
    }
    for (const std::string& text : keys) {
      const auto key = Key::parse_hex(text);
      if (!key || stop.stop_requested()) {
        continue;
      }
      // Nobody may replace the record between our look at it and our note.
      const std::lock_guard lock(records_mutex_);
      TRY_ASSIGN(const auto source, get(*key));
      if (source) {
        note(*key, *source);
      }
    }
    TRY(parts_.index->flush());
    from = keys.back();
  }
  return false;
}

} // namespace pkc::store
