// StoreFixture: a content store on any file system, and the few verbs tests use on it.
#pragma once

#include "support/fake_clock.hpp"

#include "pkc/base/file_system.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/store/content_store.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::test {

/// A 64-digit key made of one repeated hex digit and a tail, so that keys share or differ in their
/// shard at will.
store::Key make_key(char digit, std::string_view tail = "");

/// Reads a source to its end. Errors are those of the source.
Result<std::string> read_all(ByteSource& source);

/// One process using one storage directory: start() is what the server does when it starts.
class StoreFixture {
 public:
  StoreFixture(FileSystem& file_system, std::string root, store::StoreOptions options = {});

  /// Takes the directory and sweeps it. Errors as the server would see them.
  Result<void> start();
  [[nodiscard]] store::ContentStore& store() { return *store_; }
  [[nodiscard]] blob::Backend& backend() { return *backend_; }
  [[nodiscard]] std::uint64_t corrupt_objects();

  /// Stores `content` under `key` in two writes.
  Result<store::CommitOutcome> put(const store::Key& key, std::string_view content);
  /// What a client would receive: nothing for a miss, an error for a broken transfer.
  Result<std::optional<std::string>> get(const store::Key& key);

  [[nodiscard]] std::string blob_path(const store::Key& key) const;
  [[nodiscard]] std::string sidecar_path(const store::Key& key) const;

 private:
  FileSystem& file_system_;
  std::string root_;
  store::StoreOptions options_;
  FakeClock clock_;
  ops::Metrics metrics_;
  std::unique_ptr<blob::Backend> backend_;
  std::unique_ptr<store::ContentStore> store_;
};

} // namespace pkc::test
