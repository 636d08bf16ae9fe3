#include "support/store_fixture.hpp"

#include <utility>

namespace pkc::test {

store::Key make_key(char digit, std::string_view tail) {
  std::string text(64 - tail.size(), digit);
  text += tail;
  return store::Key::parse_hex(text).value();
}

Result<std::string> read_all(ByteSource& source) {
  std::string content;
  std::string buffer(1000, '\0');
  while (true) {
    TRY_ASSIGN(const std::size_t count, source.read(std::as_writable_bytes(std::span(buffer))));
    if (count == 0) {
      return content;
    }
    content.append(buffer, 0, count);
  }
}

StoreFixture::StoreFixture(FileSystem& file_system, std::string root, store::StoreOptions options)
    : file_system_(file_system), root_(std::move(root)), options_(options) {}

Result<void> StoreFixture::start() {
  TRY_ASSIGN(backend_, blob::make_disk_backend(file_system_, {.root = root_}));
  TRY(backend_->sweep_uploads([](std::int64_t) { return false; }));
  store_ = store::make_content_store(*backend_, clock_, ops::null_log(), metrics_, options_);
  return {};
}

std::uint64_t StoreFixture::corrupt_objects() {
  return metrics_.counter("polykit_cache_corrupt_objects_total", "").value();
}

Result<store::CommitOutcome> StoreFixture::put(const store::Key& key, std::string_view content) {
  TRY_ASSIGN(const auto writer, store_->put(key));
  TRY(writer->write(as_bytes(content.substr(0, content.size() / 2))));
  TRY(writer->write(as_bytes(content.substr(content.size() / 2))));
  return writer->commit({.created_at = 1'700'000'000});
}

Result<std::optional<std::string>> StoreFixture::get(const store::Key& key) {
  TRY_ASSIGN(const auto object, store_->open(key));
  if (!object) {
    return std::nullopt;
  }
  if (!object->verified) {
    TRY_ASSIGN(auto content, read_all(*store_->verified_body(key, *object)));
    return content;
  }
  std::string content(object->sidecar->size + 1, '\0');
  TRY_ASSIGN(const std::size_t count,
             object->file->read_at(0, std::as_writable_bytes(std::span(content))));
  content.resize(count);
  return content;
}

std::string StoreFixture::blob_path(const store::Key& key) const {
  const std::string& id = key.id();
  return root_ + '/' + id.substr(0, 2) + '/' + id.substr(2, 2) + '/' + id + ".zst";
}

std::string StoreFixture::sidecar_path(const store::Key& key) const {
  const std::string blob = blob_path(key);
  return blob.substr(0, blob.size() - 3) + "json";
}

} // namespace pkc::test
