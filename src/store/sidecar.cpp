#include "pkc/store/sidecar.hpp"

#include "pkc/base/assert.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace pkc::store {

namespace {

constexpr int kVersion = 1;
/// A sidecar is flat; anything deeper is not ours and could exhaust the stack while it is freed.
constexpr int kDepthMax = 16;
/// How content is encoded that we encode ourselves.
constexpr std::string_view kEncoding = "zstd-seekable";

/// The member as T, or nothing when it is missing or of another type.
template <typename T>
std::optional<T> member(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) {
    return std::nullopt;
  }
  if constexpr (std::is_same_v<T, std::string>) {
    return found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
  } else {
    return found->is_number_unsigned() ? std::optional(found->get<T>()) : std::nullopt;
  }
}

nlohmann::json parse_bounded(std::string_view text) {
  bool too_deep = false;
  const auto guard =
      [&](int depth, nlohmann::json::parse_event_t /*event*/, nlohmann::json& /*value*/) {
        too_deep = too_deep || depth > kDepthMax;
        return !too_deep;
      };
  auto document = nlohmann::json::parse(text, guard, /*allow_exceptions=*/false);
  return too_deep ? nlohmann::json(nlohmann::json::value_t::discarded) : document;
}

/// What is told of the content; nothing when it is of an encoding that we do not know.
std::optional<SidecarContent> parse_content(const nlohmann::json& document) {
  const auto encoding = member<std::string>(document, "encoding");
  const auto hash_text = member<std::string>(document, "content_hash");
  const auto hash = hash_text ? Sha256::from_hex(*hash_text) : std::nullopt;
  const auto size = member<std::uint64_t>(document, "content_size");
  if (encoding != kEncoding || !hash || !size) {
    return std::nullopt;
  }
  auto type = member<std::string>(document, "content_type").value_or(std::string());
  return SidecarContent{
      .hash = *hash, .size = *size, .type = is_content_type(type) ? std::move(type) : ""};
}

} // namespace

const SidecarContent& Sidecar::known_content() const {
  PKC_ASSERT(content.has_value());
  return *content;
}

bool is_content_type(std::string_view text) {
  return text.size() <= kContentTypeMax &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

std::string format_sidecar(const Sidecar& sidecar) {
  // Ordered, because the original writes its four members in this order.
  nlohmann::ordered_json object;
  object["hash"] = sidecar.hash.hex();
  object["size"] = sidecar.size;
  object["created_at"] = sidecar.created_at;
  object["cache_key_hash"] = sidecar.key;
  object["version"] = kVersion;
  if (sidecar.stored_at) {
    object["stored_at"] = sidecar.stored_at->time_since_epoch().count();
  }
  if (sidecar.content) {
    object["encoding"] = kEncoding;
    object["content_hash"] = sidecar.content->hash.hex();
    object["content_size"] = sidecar.content->size;
    if (!sidecar.content->type.empty()) {
      object["content_type"] = sidecar.content->type;
    }
  }
  return object.dump();
}

Result<Sidecar> parse_sidecar(std::string_view text) {
  if (text.size() > kSidecarSizeMax) {
    return fail(Errc::corrupt, "sidecar is too large");
  }
  const nlohmann::json document = parse_bounded(text);
  if (!document.is_object()) {
    return fail(Errc::corrupt, "sidecar is not a JSON object");
  }
  const auto hash_text = member<std::string>(document, "hash");
  const auto hash = hash_text ? Sha256::from_hex(*hash_text) : std::nullopt;
  const auto size = member<std::uint64_t>(document, "size");
  const auto created_at = member<std::uint64_t>(document, "created_at");
  auto key = member<std::string>(document, "cache_key_hash");
  if (!hash || !size || !created_at || !key) {
    return fail(Errc::corrupt, "sidecar lacks hash, size, created_at or cache_key_hash");
  }
  Sidecar sidecar{.hash = *hash,
                  .size = *size,
                  .created_at = *created_at,
                  .key = std::move(*key),
                  .stored_at = std::nullopt,
                  .content = parse_content(document)};
  if (const auto stored_at = member<std::uint64_t>(document, "stored_at")) {
    // Beyond this (the year 9999) no HTTP date can show it.
    constexpr std::uint64_t kLatest = 253'402'300'799;
    if (*stored_at <= kLatest) {
      sidecar.stored_at = WallTime(std::chrono::seconds(*stored_at));
    }
  }
  return sidecar;
}

} // namespace pkc::store
