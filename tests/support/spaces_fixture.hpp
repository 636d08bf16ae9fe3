// SpacesFixture: a content-addressed and a record store with their books, on any file system.
#pragma once

#include "support/fake_clock.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/blob/backend.hpp"
#include "pkc/index/index.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/store/catalog.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/store/record_store.hpp"
#include "pkc/store/room.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::test {

struct SpacesOptions {
  store::RoomLimits limits;
  store::VerifyReads verify_reads = store::VerifyReads::first;
  ByteCount verify_ahead_max = 4 * kMiB;
};

/// One process using one storage directory, with the spaces cas and fetch in it.
class SpacesFixture {
 public:
  SpacesFixture(FileSystem& file_system, std::string root, SpacesOptions options = {});

  /// Takes the directory and sweeps it. Errors as the server would see them.
  Result<void> start();

  [[nodiscard]] store::ContentAddressedStore& cas() { return *cas_->addressed; }
  [[nodiscard]] store::RecordStore& records() { return *fetch_->records; }
  [[nodiscard]] store::Room& room() { return room_; }
  [[nodiscard]] index::Index& index() { return *index_; }
  /// Of the space cas or fetch, so far.
  [[nodiscard]] std::uint64_t reads(std::string_view space) const {
    return (space == "cas" ? cas_ : fetch_)->catalog->reads();
  }
  [[nodiscard]] std::uint64_t corrupt_objects();

  /// Stores content in pieces; the digest is its key.
  Result<store::CommitOutcome> put(std::string_view content);
  /// What a client would receive that takes no zstd: nothing for a miss, an error for a broken
  /// transfer.
  Result<std::optional<std::string>> get(const Sha256& digest);
  /// The same for a client that takes zstd.
  Result<std::optional<std::string>> get_stored(const Sha256& digest);

  [[nodiscard]] std::string blob_path(const Sha256& digest) const;
  [[nodiscard]] std::string sidecar_path(const Sha256& digest) const;
  [[nodiscard]] std::string record_path(const store::Key& key) const;

 private:
  struct Space {
    std::unique_ptr<blob::Backend> backend;
    std::unique_ptr<store::Catalog> catalog;
    std::unique_ptr<store::ContentStore> objects;
    std::unique_ptr<store::ContentAddressedStore> addressed;
    std::unique_ptr<store::RecordStore> records;
  };

  Result<std::unique_ptr<Space>> make_space(const std::string& name, store::Blobs blobs);

  FileSystem& file_system_;
  const std::string root_;
  const SpacesOptions options_;
  FakeClock clock_;
  ops::Metrics metrics_;
  locks::KeyLocks locks_;
  store::Room room_;
  std::unique_ptr<index::Index> index_;
  ZstdContextPool decoders_;
  ZstdEncoderPool encoders_{4, 2};
  std::unique_ptr<blob::Backend> backend_;
  std::unique_ptr<Space> cas_;
  std::unique_ptr<Space> fetch_;
};

/// Follows the pieces of growing content from its beginning.
std::string read_growing(const store::GrowingContent& content);

} // namespace pkc::test
