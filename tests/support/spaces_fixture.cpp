#include "support/spaces_fixture.hpp"

#include "support/store_fixture.hpp"

#include "pkc/blob/disk.hpp"
#include "pkc/index/memory_index.hpp"

#include <span>
#include <utility>

namespace pkc::test {

namespace {

std::string path_of(const std::string& space, const std::string& name) {
  return space + '/' + name.substr(0, 2) + '/' + name.substr(2, 2) + '/' + name;
}

Result<std::string> read_piece(const FilePiece& piece) {
  std::string text(piece.length, '\0');
  TRY_ASSIGN(const std::size_t count,
             piece.file->read_at(piece.file_offset, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

} // namespace

SpacesFixture::SpacesFixture(FileSystem& file_system, std::string root, SpacesOptions options)
    : file_system_(file_system),
      root_(std::move(root)),
      options_(std::move(options)),
      room_(options_.limits),
      index_(index::make_memory_index(clock_)) {}

Result<void> SpacesFixture::start() {
  TRY_ASSIGN(backend_, blob::make_disk_backend(file_system_, {.root = root_}));
  TRY(backend_->sweep_uploads([](std::int64_t) { return false; }));
  TRY_ASSIGN(cas_, make_space("cas", store::Blobs::addressed));
  TRY_ASSIGN(fetch_, make_space("fetch", store::Blobs::encoded));
  return {};
}

Result<std::unique_ptr<SpacesFixture::Space>> SpacesFixture::make_space(const std::string& name,
                                                                        store::Blobs blobs) {
  auto space = std::make_unique<Space>();
  TRY_ASSIGN(space->backend, backend_->make_space(name));
  space->catalog = std::make_unique<store::Catalog>(store::CatalogParts{.backend = *space->backend,
                                                                        .key_locks = locks_,
                                                                        .index = *index_,
                                                                        .room = room_,
                                                                        .log = ops::null_log()},
                                                    name);
  store::StoreOptions options;
  options.verify_reads = options_.verify_reads;
  options.verify_ahead_max = options_.verify_ahead_max;
  options.overwrite = blobs == store::Blobs::encoded ? store::Overwrite::yes : store::Overwrite::no;
  options.blobs = blobs;
  options.key_locks = &locks_;
  options.catalog = space->catalog.get();
  space->objects =
      store::make_content_store(*space->backend, clock_, ops::null_log(), metrics_, options);
  space->addressed = std::make_unique<store::ContentAddressedStore>(
      store::ContentAddressedParts{.objects = *space->objects,
                                   .backend = *space->backend,
                                   .decoders = decoders_,
                                   .encoders = encoders_,
                                   .catalog = space->catalog.get()});
  space->records =
      std::make_unique<store::RecordStore>(store::RecordStoreParts{.objects = *space->objects,
                                                                   .backend = *space->backend,
                                                                   .decoders = decoders_,
                                                                   .encoders = encoders_});
  return space;
}

std::uint64_t SpacesFixture::corrupt_objects() {
  return metrics_.counter("polykit_cache_corrupt_objects_total", "").value();
}

Result<store::CommitOutcome> SpacesFixture::put(std::string_view content) {
  constexpr std::size_t kPiece = 40'000;
  TRY_ASSIGN(const auto writer, cas().put());
  for (std::size_t at = 0; at < content.size(); at += kPiece) {
    TRY(writer->write(as_bytes(content.substr(at, kPiece))));
  }
  TRY_ASSIGN(const auto commit,
             writer->commit({.content_type = "text/plain", .created_at = 1'700'000'000}));
  return commit.outcome;
}

Result<std::optional<std::string>> SpacesFixture::get(const Sha256& digest) {
  TRY_ASSIGN(const auto object, cas().open(digest));
  if (!object) {
    return std::nullopt;
  }
  if (!object->verified()) {
    TRY_ASSIGN(auto content, read_all(*cas().verified_content(*object)));
    return content;
  }
  std::string content;
  while (content.size() < object->size()) {
    TRY_ASSIGN(const auto piece, object->raw_piece(content.size()));
    if (piece) {
      TRY_ASSIGN(const std::string text, read_piece(*piece));
      content += text;
      continue;
    }
    TRY_ASSIGN(const auto rest, object->content(content.size(), object->size() - content.size()));
    TRY_ASSIGN(const std::string text, read_all(*rest));
    content += text;
  }
  return content;
}

Result<std::optional<std::string>> SpacesFixture::get_stored(const Sha256& digest) {
  TRY_ASSIGN(const auto object, cas().open(digest));
  if (!object) {
    return std::nullopt;
  }
  if (!object->verified()) {
    TRY_ASSIGN(auto content, read_all(*cas().verified_stored(*object)));
    return content;
  }
  TRY_ASSIGN(auto content,
             read_piece({.file = object->stored().file,
                         .file_offset = 0,
                         .length = object->stored().sidecar->size}));
  return content;
}

std::string SpacesFixture::blob_path(const Sha256& digest) const {
  return path_of(root_ + "/cas", digest.hex()) + ".zst";
}

std::string SpacesFixture::sidecar_path(const Sha256& digest) const {
  return path_of(root_ + "/cas", digest.hex()) + ".json";
}

std::string SpacesFixture::record_path(const store::Key& key) const {
  return path_of(root_ + "/fetch", key.id()) + ".zst";
}

std::string read_growing(const store::GrowingContent& content) {
  std::string text;
  while (text.size() < content.size()) {
    text += read_piece(content.piece(text.size())).value();
  }
  return text;
}

} // namespace pkc::test
