#include "pkc/store/record_store.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/digest.hpp"

#include <memory>
#include <span>
#include <utility>

namespace pkc::store {

namespace {

/// Decodes a record that is verified.
Result<std::string> decode(const StoredObject& object, ZstdContextPool& pool) {
  const ByteCount size = object.sidecar->known_content().size;
  if (size > kRecordSizeMax) {
    return fail(Errc::corrupt, "a record is too large");
  }
  TRY_ASSIGN(const auto file, SeekableZstdFile::open(object.file, object.identity.size));
  if (file.content_size() != size) {
    return fail(Errc::corrupt, "seek table and sidecar disagree on the size of a record");
  }
  const auto source = file.content(0, size, pool);
  std::string text(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    TRY_ASSIGN(const std::size_t count,
               source->read(std::as_writable_bytes(std::span(text)).subspan(done)));
    if (count == 0) {
      return fail(Errc::corrupt, "a record ends early");
    }
    done += count;
  }
  return text;
}

} // namespace

Result<std::optional<std::string>> RecordStore::read(const Key& key,
                                                     std::unique_ptr<StoredObject> object) {
  if (!object) {
    return std::nullopt;
  }
  TRY_ASSIGN(const bool good, parts_.objects.verify(key, *object));
  if (!good) {
    return std::nullopt;
  }
  auto text = decode(*object, parts_.decoders);
  if (!text && text.error().code == Errc::corrupt) {
    return std::nullopt;
  }
  return text;
}

Result<std::optional<std::string>> RecordStore::get(const Key& key) {
  TRY_ASSIGN(auto object, parts_.objects.open(key));
  return read(key, std::move(object));
}

Result<std::optional<std::string>> RecordStore::peek(const Key& key) {
  TRY_ASSIGN(auto object, parts_.objects.peek(key));
  return read(key, std::move(object));
}

Result<void> RecordStore::put(const Key& key, std::string_view text) {
  PKC_ASSERT(text.size() <= kRecordSizeMax);
  TRY_ASSIGN(const auto object, parts_.objects.put(key));
  SeekableZstdWriter encoder(*object, parts_.encoders, nullptr);
  TRY(encoder.write(as_bytes(text)));
  TRY(encoder.finish());
  TRY(object->commit({.created_at = 0,
                      .content = SidecarContent{
                          .hash = sha256(as_bytes(text)), .size = text.size(), .type = ""}}));
  return {};
}

Result<bool> RecordStore::remove(const Key& key) {
  return parts_.objects.remove(key);
}

Result<bool> RecordStore::for_each(const Each& each, const std::stop_token& stop) {
  TRY_ASSIGN(const auto shards, parts_.backend.list_shards());
  for (const std::string& shard : shards) {
    TRY_ASSIGN(const auto listing, parts_.backend.list_shard(shard));
    for (const blob::ListedName& listed : listing.names) {
      if (stop.stop_requested()) {
        return false;
      }
      const auto key = Key::parse_hex(listed.name);
      if (!key || !listed.has_blob) {
        continue;
      }
      TRY_ASSIGN(auto object, parts_.objects.peek(*key));
      TRY_ASSIGN(auto text, read(*key, std::move(object)));
      if (text) {
        each(*key, *std::move(text));
      }
    }
  }
  return true;
}

} // namespace pkc::store
