#include "artifact_verifier.hpp"

#include <algorithm>
#include <utility>

namespace pkc::protocols::polykit {

namespace {

constexpr std::string_view kMetadataName = "metadata.json";
constexpr std::string_view kManifestName = "manifest.json";
constexpr std::string_view kOutputsPrefix = "outputs/";
/// PATH_MAX of Linux: no client could unpack more.
constexpr std::size_t kPathLengthMax = 4096;
/// What a manifest spends on a file beside its name: quotes, colon, comma, quoted digest.
constexpr ByteCount kManifestBytesPerFile = 70;

std::unexpected<Error> invalid(std::string message) {
  return fail(Errc::invalid_argument, std::move(message));
}

std::unexpected<Error> invalid_file(std::string_view path, std::string_view what) {
  return invalid("file " + quoted_for_message(path) + " " + std::string(what));
}

std::unexpected<Error> mismatch(std::string_view path,
                                const Sha256& expected,
                                const Sha256& actual) {
  return invalid_file(path, "hash mismatch: expected " + expected.hex() + ", got " + actual.hex());
}

bool is_drive_prefix(std::string_view path) {
  return path.size() >= 2 && path[1] == ':' &&
         ((path[0] >= 'a' && path[0] <= 'z') || (path[0] >= 'A' && path[0] <= 'Z'));
}

} // namespace

std::optional<std::string_view> unsafe_path_reason(std::string_view path) {
  if (path.empty() || path.starts_with('/') || path.starts_with('\\') || is_drive_prefix(path)) {
    return path.empty() ? "has no name" : "has an absolute path";
  }
  if (path.size() > kPathLengthMax) {
    return "has too long a path";
  }
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find_first_of("/\\", begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component == "..") {
      return "leaves its directory";
    }
    if (component.empty() || component == ".") {
      return "has an empty path component";
    }
    begin = end + 1;
  }
  return std::nullopt;
}

bool ArtifactVerifier::PathOrder::operator()(std::string_view left, std::string_view right) const {
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; };
  return std::ranges::lexicographical_compare(left, right, {}, rank, rank);
}

ArtifactVerifier::ArtifactVerifier(std::string_view key,
                                   ZstdContextPool& pool,
                                   ArtifactLimits limits)
    : members_(key, limits.files_max), tar_(members_), zstd_(tar_, pool, limits.decode) {}

Result<void> ArtifactVerifier::write(ByteSpan bytes) {
  return zstd_.write(bytes);
}

Result<ArtifactFacts> ArtifactVerifier::finish() {
  TRY(zstd_.finish());
  TRY(tar_.finish());
  return members_.finish();
}

Result<void> ArtifactVerifier::Members::begin_entry(const TarEntry& entry) {
  // The original compares the first component, so that "./outputs/x" is an ignored member.
  const std::string_view first = std::string_view(entry.path).substr(0, entry.path.find('/'));
  if (first == kMetadataName || first == kManifestName) {
    return begin_document(entry);
  }
  if (first == kOutputsPrefix.substr(0, kOutputsPrefix.size() - 1)) {
    return begin_output(entry);
  }
  kind_ = Kind::ignored;
  return {};
}

Result<void> ArtifactVerifier::Members::begin_document(const TarEntry& entry) {
  const std::string name = quoted_for_message(entry.path);
  // The original takes "metadata.json/" for the same member, and of two the last.
  if (entry.type != TarEntryType::regular || entry.path.contains('/')) {
    return invalid(name + " is not a regular file");
  }
  kind_ = entry.path == kMetadataName ? Kind::metadata : Kind::manifest;
  if (kind_ == Kind::metadata ? metadata_.has_value() : manifest_.has_value()) {
    return invalid(name + " comes twice");
  }
  if (entry.size > kDocumentSizeMax) {
    return fail(Errc::too_large, name + " is larger than 1 MiB");
  }
  document_.clear();
  return {};
}

Result<void> ArtifactVerifier::Members::begin_output(const TarEntry& entry) {
  const std::string_view full = entry.path;
  const std::string_view path = full.substr(std::min(full.size(), kOutputsPrefix.size()));
  if (entry.type != TarEntryType::regular) {
    return invalid_file(full, "is not a regular file");
  }
  if (const auto reason = unsafe_path_reason(path)) {
    return invalid_file(full, *reason);
  }
  auto found = files_.find(path);
  if (found != files_.end() && found->second.present) {
    return invalid_file(path, "comes twice");
  }
  if (found == files_.end()) {
    if (manifest_) {
      return invalid_file(path, "is in the artifact but not in the manifest");
    }
    TRY(add_file(std::string(path)));
    found = files_.find(path);
  }
  kind_ = Kind::output;
  current_ = &*found;
  current_->second.present = true;
  total_size_ += entry.size;
  if (manifest_ && total_size_ > manifest_->total_size) {
    return invalid("the files are larger than total_size in the manifest");
  }
  return {};
}

Result<void> ArtifactVerifier::Members::entry_data(ByteSpan bytes) {
  if (kind_ == Kind::output) {
    hasher_.update(bytes);
  } else if (kind_ != Kind::ignored) {
    document_.append(as_text(bytes));
  }
  return {};
}

Result<void> ArtifactVerifier::Members::end_entry() {
  switch (kind_) {
    case Kind::ignored:
      return {};
    case Kind::metadata:
      return end_metadata();
    case Kind::manifest:
      return end_manifest();
    case Kind::output:
      return end_output();
  }
  return {};
}

Result<void> ArtifactVerifier::Members::end_metadata() {
  TRY_ASSIGN(metadata_, parse_metadata(document_));
  if (metadata_->cache_key_hash != key_) {
    return invalid("cache key mismatch: expected " + key_ + ", got " +
                   quoted_for_message(metadata_->cache_key_hash));
  }
  return {};
}

Result<void> ArtifactVerifier::Members::end_manifest() {
  TRY_ASSIGN(manifest_, parse_manifest(document_, [this](std::string path, const Sha256& digest) {
               return list_file(std::move(path), digest);
             }));
  document_ = {};
  for (const auto& [path, file] : files_) {
    if (!file.listed) {
      return invalid_file(path, "is in the artifact but not in the manifest");
    }
  }
  if (total_size_ > manifest_->total_size) {
    return invalid("the files are larger than total_size in the manifest");
  }
  return {};
}

Result<void> ArtifactVerifier::Members::list_file(std::string path, const Sha256& digest) {
  auto found = files_.find(path);
  if (found == files_.end()) {
    TRY_ASSIGN(OutputFile* const file, add_file(std::move(path)));
    *file = {.digest = digest, .listed = true};
    return {};
  }
  OutputFile& file = found->second;
  if (std::exchange(file.listed, true)) {
    return invalid_file(path, "is in the manifest twice");
  }
  return file.digest == digest ? Result<void>{} : mismatch(path, digest, file.digest);
}

Result<ArtifactVerifier::OutputFile*> ArtifactVerifier::Members::add_file(std::string path) {
  if (files_.size() >= files_max_) {
    return fail(Errc::too_large, "the artifact has more files than the limit");
  }
  // Before the manifest has come, no more is remembered than one could list.
  manifest_size_min_ += path.size() + kManifestBytesPerFile;
  if (manifest_size_min_ > kDocumentSizeMax) {
    return fail(Errc::too_large, "the artifact has more files than a manifest of 1 MiB can list");
  }
  return &files_[std::move(path)];
}

Result<void> ArtifactVerifier::Members::end_output() {
  auto& [path, file] = *std::exchange(current_, nullptr);
  const Sha256 actual = hasher_.finish();
  if (!file.listed) {
    file.digest = actual;
    return {};
  }
  return file.digest == actual ? Result<void>{} : mismatch(path, file.digest, actual);
}

Result<ArtifactFacts> ArtifactVerifier::Members::finish() {
  if (!metadata_) {
    return invalid("the artifact has no metadata.json");
  }
  if (!manifest_) {
    return invalid("the artifact has no manifest.json");
  }
  TRY(check_files());
  if (total_size_ != manifest_->total_size) {
    return invalid("total_size in the manifest is " + std::to_string(manifest_->total_size) +
                   ", the files have " + std::to_string(total_size_));
  }
  return ArtifactFacts{.created_at = metadata_->created_at,
                       .package = std::move(metadata_->package_name),
                       .task = std::move(metadata_->task_name)};
}

Result<void> ArtifactVerifier::Members::check_files() const {
  const std::string* previous = nullptr;
  for (const auto& [path, file] : files_) {
    if (!file.present) {
      return invalid_file(path, "is in the manifest but not in the artifact");
    }
    if (previous != nullptr && path.starts_with(*previous + "/")) {
      return invalid_file(*previous, "is also used as a directory");
    }
    previous = &path;
  }
  return {};
}

} // namespace pkc::protocols::polykit
