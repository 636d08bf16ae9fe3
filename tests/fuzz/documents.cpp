// Fuzz target: metadata.json and manifest.json. The first byte chooses.
#include "fuzz.hpp"
#include "polykit/manifest.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <utility>

namespace {

using pkc::protocols::polykit::parse_manifest;
using pkc::protocols::polykit::parse_metadata;

struct Manifest {
  std::uint64_t total_size = 0;
  std::map<std::string, std::string> files;
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

std::optional<Manifest> read_manifest(std::string_view text) {
  Manifest manifest;
  const auto totals = parse_manifest(
      text, [&manifest](std::string path, const pkc::Sha256& digest) -> pkc::Result<void> {
        if (!manifest.files.emplace(std::move(path), digest.hex()).second) {
          return pkc::fail(pkc::Errc::invalid_argument, "twice");
        }
        return {};
      });
  if (!totals) {
    pkc::fuzz::require(totals.error().message.size() < 1000);
    return std::nullopt;
  }
  manifest.total_size = totals->total_size;
  return manifest;
}

void check_manifest(std::string_view text) {
  const auto manifest = read_manifest(text);
  if (manifest) {
    const nlohmann::json written{{"files", manifest->files}, {"total_size", manifest->total_size}};
    const std::string again = written.dump();
    // Ours is the compact form, but for escapes that were not needed.
    pkc::fuzz::require(again.size() > pkc::protocols::polykit::kDocumentSizeMax ||
                       read_manifest(again) == manifest);
  }
}

void check_metadata(std::string_view text) {
  const auto metadata = parse_metadata(text);
  if (!metadata) {
    pkc::fuzz::require(metadata.error().message.size() < 1000);
    return;
  }
  const nlohmann::json written{{"package_name", metadata->package_name},
                               {"task_name", metadata->task_name},
                               {"command", metadata->command},
                               {"cache_key_hash", metadata->cache_key_hash},
                               {"created_at", metadata->created_at},
                               {"version", metadata->version}};
  const auto again = parse_metadata(written.dump());
  pkc::fuzz::require(again.has_value());
  pkc::fuzz::require(again->package_name == metadata->package_name);
  pkc::fuzz::require(again->cache_key_hash == metadata->cache_key_hash);
  pkc::fuzz::require(again->created_at == metadata->created_at);
  pkc::fuzz::require(again->version == metadata->version);
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = pkc::fuzz::text_of(data, size);
  if (pkc::fuzz::take_byte(input) % 2 == 0) {
    check_metadata(input);
  } else {
    check_manifest(input);
  }
  return 0;
}
