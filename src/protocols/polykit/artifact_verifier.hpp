// ArtifactVerifier: checks an upload while it streams in.
#pragma once

#include "manifest.hpp"
#include "tar_reader.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/zstd.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::protocols::polykit {

struct ArtifactLimits {
  std::size_t files_max = 1'000'000;
  ZstdDecodeLimits decode{};
};

/// What a verified artifact says of itself.
struct ArtifactFacts {
  std::uint64_t created_at = 0; ///< the client's clock, Unix seconds
  std::string package;
  std::string task;
};

/// Why `path`, relative to outputs/, may not be written below a directory, or nothing. Refuses what
/// leaves the directory or has two spellings, by the rules of POSIX and of Windows: the original's
/// client joins the path and unpacks, on either.
std::optional<std::string_view> unsafe_path_reason(std::string_view path);

/// Decodes, unpacks and checks what is written to it: zstd, tar, metadata.json, manifest.json and
/// the SHA-256 of every file under outputs/, in any order of members, in constant memory: the zstd
/// window, the two documents, and a digest per file, of which there can be no more than a manifest
/// of 1 MiB could list.
///
/// An artifact is accepted when the client of the original could use it: every member under
/// outputs/ is a regular file with a safe name that the manifest lists with its digest, every
/// listed file is there once, total_size is their sum, and the metadata names the key. Files may
/// all be empty; there may be none. Members elsewhere are ignored. Directories under outputs/ are
/// refused although they do no harm by themselves: the client never sends one, and a client that
/// fetches one rejects the whole artifact, so that accepting it would spoil the key for good.
///
/// One thread at a time. Errors, from write() as soon as they are certain: invalid_argument and
/// too_large, with a bounded message for the client that quotes only its own names; unavailable
/// when the pool's window budget is exhausted. After an error nothing more may be written.
class ArtifactVerifier : public ByteSink {
 public:
  /// `pool` outlives the verifier.
  ArtifactVerifier(std::string_view key, ZstdContextPool& pool, ArtifactLimits limits);

  Result<void> write(ByteSpan bytes) override;
  /// Call once, at the end of the body.
  Result<ArtifactFacts> finish();

 private:
  /// '/' before every other character, so that what lies below a path follows it directly.
  struct PathOrder {
    // NOLINTNEXTLINE(readability-identifier-naming): the name that std::map asks for.
    using is_transparent = void;
    bool operator()(std::string_view left, std::string_view right) const;
  };
  struct OutputFile {
    Sha256 digest;
    bool listed = false; ///< in the manifest
    bool present = false;
  };

  /// Receives the members from the tar reader.
  class Members : public TarVisitor {
   public:
    Members(std::string_view key, std::size_t files_max) : key_(key), files_max_(files_max) {}
    Result<void> begin_entry(const TarEntry& entry) override;
    Result<void> entry_data(ByteSpan bytes) override;
    Result<void> end_entry() override;
    Result<ArtifactFacts> finish();

   private:
    enum class Kind {
      ignored,
      metadata,
      manifest,
      output
    };

    Result<void> begin_document(const TarEntry& entry);
    Result<void> begin_output(const TarEntry& entry);
    Result<void> end_metadata();
    Result<void> end_manifest();
    Result<void> end_output();
    Result<void> list_file(std::string path, const Sha256& digest);
    Result<OutputFile*> add_file(std::string path);
    [[nodiscard]] Result<void> check_files() const;

    std::string key_;
    std::size_t files_max_;
    Kind kind_ = Kind::ignored;
    std::string document_;
    Sha256Hasher hasher_;
    std::optional<Metadata> metadata_;
    std::optional<ManifestTotals> manifest_;
    std::map<std::string, OutputFile, PathOrder> files_;
    ByteCount manifest_size_min_ = 0; ///< of any manifest that lists all of files_
    ByteCount total_size_ = 0;        ///< of the files present
    /// The file whose bytes are coming.
    std::map<std::string, OutputFile, PathOrder>::value_type* current_ = nullptr;
  };

  Members members_;
  TarReader tar_;
  ZstdDecoder zstd_;
};

} // namespace pkc::protocols::polykit
