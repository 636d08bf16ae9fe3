#include "support/damage.hpp"

#include "support/store_fixture.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/blob/disk.hpp"

#include <array>

namespace pkc::test {
namespace {

using store::Fault;
using store::VerifyContent;

std::string blob_of(const std::string& root, const store::Key& key) {
  const std::string& id = key.id();
  return root + '/' + id.substr(0, 2) + '/' + id.substr(2, 2) + '/' + id + ".zst";
}

std::string sidecar_of(const std::string& root, const store::Key& key) {
  const std::string blob = blob_of(root, key);
  return blob.substr(0, blob.size() - 3) + "json";
}

std::string content(FaultFileSystem& disk, const std::string& path) {
  return disk.files(path).at(path);
}

void remove(FaultFileSystem& disk, const std::string& path) {
  PKC_ASSERT(disk.remove(path).value());
}

void replace_by_directory(FaultFileSystem& disk, const std::string& path) {
  remove(disk, path);
  PKC_ASSERT(disk.make_directory(path).value());
}

constexpr std::array kDamages = {
    Damage{.name = "blob without sidecar",
           .fault = Fault::orphan_blob,
           .apply = [](FaultFileSystem& disk,
                       const std::string& root,
                       const store::Key& key) { remove(disk, sidecar_of(root, key)); }},
    Damage{.name = "sidecar without blob",
           .fault = Fault::orphan_sidecar,
           .apply = [](FaultFileSystem& disk,
                       const std::string& root,
                       const store::Key& key) { remove(disk, blob_of(root, key)); }},
    Damage{.name = "torn sidecar",
           .fault = Fault::torn_sidecar,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 const std::string path = sidecar_of(root, key);
                 const std::string text = content(disk, path);
                 disk.overwrite(path, text.substr(0, text.size() / 2));
               }},
    Damage{.name = "empty sidecar",
           .fault = Fault::torn_sidecar,
           .apply = [](FaultFileSystem& disk,
                       const std::string& root,
                       const store::Key& key) { disk.overwrite(sidecar_of(root, key), ""); }},
    Damage{.name = "sidecar of zeros",
           .fault = Fault::torn_sidecar,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 const std::string path = sidecar_of(root, key);
                 disk.overwrite(path, std::string(content(disk, path).size(), '\0'));
               }},
    Damage{.name = "oversize sidecar",
           .fault = Fault::oversize_sidecar,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 disk.overwrite(sidecar_of(root, key),
                                std::string(store::kSidecarSizeMax + 1, ' '));
               }},
    Damage{.name = "sidecar of another key",
           .fault = Fault::foreign_sidecar,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 const std::string path = sidecar_of(root, key);
                 auto sidecar = store::parse_sidecar(content(disk, path)).value();
                 sidecar.key = std::string(64, '0');
                 disk.overwrite(path, store::format_sidecar(sidecar));
               }},
    Damage{.name = "blob that is too long",
           .fault = Fault::wrong_size,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 const std::string path = blob_of(root, key);
                 disk.overwrite(path, content(disk, path) + "x");
               }},
    Damage{.name = "empty blob",
           .fault = Fault::wrong_size,
           .apply = [](FaultFileSystem& disk,
                       const std::string& root,
                       const store::Key& key) { disk.overwrite(blob_of(root, key), ""); }},
    Damage{.name = "flipped bit",
           .fault = Fault::wrong_content,
           .seen_by = VerifyContent::yes,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 const std::string path = blob_of(root, key);
                 std::string bytes = content(disk, path);
                 bytes.back() = static_cast<char>(bytes.back() ^ 1);
                 disk.overwrite(path, bytes);
               }},
    Damage{.name = "directory in the place of a blob",
           .fault = Fault::wrong_type,
           .apply = [](FaultFileSystem& disk,
                       const std::string& root,
                       const store::Key& key) { replace_by_directory(disk, blob_of(root, key)); }},
    Damage{.name = "directory in the place of a sidecar",
           .fault = Fault::wrong_type,
           .apply =
               [](FaultFileSystem& disk, const std::string& root, const store::Key& key) {
                 replace_by_directory(disk, sidecar_of(root, key));
               }},
};

} // namespace

std::span<const Damage> damages() {
  return kDamages;
}

Result<store::FsckSummary> run_fsck(FileSystem& file_system,
                                    const std::string& root,
                                    const store::FsckOptions& options,
                                    FsckNotes& notes,
                                    locks::KeyLocks& key_locks,
                                    const std::stop_token& stop,
                                    index::Index* index) {
  const FakeClock clock;
  TRY_ASSIGN(const auto backend, blob::open_disk_backend(file_system, {.root = root}));
  const auto upkeep = blob::make_disk_upkeep(file_system, root);
  TRY_ASSIGN(const auto content_backend, backend->make_space("cas"));
  TRY_ASSIGN(const auto fetch_backend, backend->make_space("fetch"));
  const store::FsckSpace polykit{.name = kFsckSpace, .directory = "", .backend = *backend};
  const store::FsckSpace cas{.name = "cas",
                             .directory = "cas",
                             .backend = *content_backend,
                             .blobs = store::Blobs::addressed};
  const std::array spaces = {polykit,
                             cas,
                             store::FsckSpace{.name = "fetch",
                                              .directory = "fetch",
                                              .backend = *fetch_backend,
                                              .blobs = store::Blobs::encoded,
                                              .contents = &cas}};
  return store::check_store({.spaces = spaces,
                             .upkeep = *upkeep,
                             .key_locks = key_locks,
                             .clock = clock,
                             .index = index,
                             .index_name = "index.db"},
                            options,
                            notes,
                            stop);
}

} // namespace pkc::test
