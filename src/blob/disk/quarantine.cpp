#include "quarantine.hpp"

#include "shards.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

namespace pkc::blob {

namespace {

constexpr std::string_view kNoteSuffix = ".txt";
constexpr std::array kSuffixes = {kBlobSuffix, kSidecarSuffix, kNoteSuffix};

std::string with_suffix(const std::string& stem, std::string_view suffix) {
  return std::string(stem).append(suffix);
}

/// A file's name without what it is; nothing when it is not of ours.
std::optional<std::string> stem_of(const std::string& name) {
  for (const std::string_view suffix : kSuffixes) {
    if (name.size() > suffix.size() && name.ends_with(suffix)) {
      return name.substr(0, name.size() - suffix.size());
    }
  }
  return std::nullopt;
}

} // namespace

Result<std::string> Quarantine::free_stem(std::string_view name) {
  TRY(file_system_.make_directory(directory_));
  for (std::uint64_t n = 1;; ++n) {
    std::string stem = directory_ + '/' + std::string(name) + '.' + std::to_string(n);
    TRY_ASSIGN(const auto taken, file_system_.stat(with_suffix(stem, kBlobSuffix)));
    if (!taken) {
      return stem;
    }
  }
}

Result<void> Quarantine::take(std::string_view name,
                              const std::string& blob_path,
                              const std::string& sidecar_path,
                              std::string_view note) {
  TRY_ASSIGN(const std::string stem, free_stem(name));
  // The blob first: without it nothing is visible. No sync: if a power loss undoes this, the next
  // read finds it again.
  TRY(file_system_.rename(blob_path, with_suffix(stem, kBlobSuffix)));
  TRY_ASSIGN(const auto sidecar, file_system_.stat(sidecar_path));
  if (sidecar) {
    TRY(file_system_.rename(sidecar_path, with_suffix(stem, kSidecarSuffix)));
  }
  // An earlier note of this number may be left from a half-done quarantine.
  TRY(file_system_.remove(with_suffix(stem, kNoteSuffix)));
  TRY_ASSIGN(const auto file, file_system_.create(with_suffix(stem, kNoteSuffix)));
  return file->write(as_bytes(note));
}

Result<std::vector<Quarantined>> Quarantine::list() {
  TRY_ASSIGN(const auto entries, file_system_.list(directory_));
  std::map<std::string, Quarantined, std::less<>> by_stem;
  for (const DirectoryEntry& entry : entries ? *entries : std::vector<DirectoryEntry>{}) {
    const auto stem = stem_of(entry.name);
    if (!stem) {
      continue;
    }
    TRY_ASSIGN(const auto stat, file_system_.stat(directory_ + '/' + entry.name));
    if (stat) {
      Quarantined& object = by_stem[*stem];
      object.stem = *stem;
      object.size += stat->size;
      // To rename a file changes nothing of it but this.
      object.since_ns = std::max(object.since_ns, stat->ctime_ns);
    }
  }
  std::vector<Quarantined> objects;
  objects.reserve(by_stem.size());
  for (auto& [stem, object] : by_stem) {
    objects.push_back(std::move(object));
  }
  std::ranges::sort(objects, [](const Quarantined& left, const Quarantined& right) {
    return std::tie(left.since_ns, left.stem) < std::tie(right.since_ns, right.stem);
  });
  return objects;
}

Result<void> Quarantine::drop(const std::string& stem) {
  for (const std::string_view suffix : kSuffixes) {
    TRY(file_system_.remove(directory_ + '/' + with_suffix(stem, suffix)));
  }
  return {};
}

Result<void> Quarantine::trim(const QuarantineLimits& limits) {
  TRY_ASSIGN(const auto objects, list());
  ByteCount size = 0;
  for (const Quarantined& object : objects) {
    size += object.size;
  }
  std::size_t count = objects.size();
  for (const Quarantined& object : objects) {
    if (count <= limits.objects_max && size <= limits.size_max) {
      break;
    }
    TRY(drop(object.stem));
    size -= object.size;
    --count;
  }
  return {};
}

} // namespace pkc::blob
