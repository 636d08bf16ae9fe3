#include "manifest.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

namespace pkc::protocols::polykit {

namespace {

/// Follows a document of the shape {"member": scalar, "member": {"name": "text"}}, without building
/// it. Reports scalars at depth 1, and strings at depth 2, to the subclass; everything deeper, or
/// under a member that the subclass does not know, is only checked to be JSON.
class DocumentHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit DocumentHandler(std::string_view document) : document_(document) {}

  bool null() override { return scalar(Kind::other); }
  bool boolean(bool /*value*/) override { return scalar(Kind::other); }
  bool number_integer(number_integer_t /*value*/) override { return scalar(Kind::other); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return scalar(Kind::other);
  }
  bool number_unsigned(number_unsigned_t value) override {
    number_ = value;
    return scalar(Kind::number);
  }
  bool string(string_t& value) override {
    text_ = &value;
    return scalar(Kind::text);
  }
  bool binary(binary_t& /*value*/) override { return scalar(Kind::other); }
  bool start_object(std::size_t /*elements*/) override { return open(Kind::object); }
  bool start_array(std::size_t /*elements*/) override { return open(Kind::other); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (depth_ == 1) {
      member_ = std::move(name);
    } else if (depth_ == 2) {
      inner_ = std::move(name);
    }
    return true;
  }
  bool parse_error(std::size_t position,
                   const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/) override {
    return refuse("is not valid JSON at byte " + std::to_string(position));
  }

  [[nodiscard]] Result<void> result() && {
    if (error_) {
      return std::unexpected(std::move(*error_));
    }
    return {};
  }

 protected:
  enum class Kind {
    object,
    text,
    number,
    other
  };

  /// A value of a member of the document; for Kind::object, its beginning.
  virtual bool on_member(const std::string& member, Kind kind) = 0;
  /// A value inside an object that is a member of the document.
  virtual bool on_inner(const std::string& /*member*/, std::string& /*name*/, Kind /*kind*/) {
    return true;
  }

  bool refuse(const std::string& what) {
    return refuse(
        Error{.code = Errc::invalid_argument, .message = std::string(document_) + " " + what});
  }
  bool refuse(Error error) {
    if (!error_) {
      error_ = std::move(error);
    }
    return false;
  }

  /// The value just seen. REQUIRES: its kind is number or text.
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] std::string& text() { return *text_; }

 private:
  bool scalar(Kind kind) {
    switch (depth_) {
      case 0:
        return refuse("is not a JSON object");
      case 1:
        return on_member(member_, kind);
      case 2:
        return !inner_is_object_ || on_inner(member_, inner_, kind);
      default:
        return true;
    }
  }
  bool open(Kind kind) {
    if (depth_ == 0 && kind != Kind::object) {
      return refuse("is not a JSON object");
    }
    if (depth_ >= kDocumentDepthMax) {
      return refuse("is nested too deeply");
    }
    if (depth_ == 1) {
      inner_is_object_ = kind == Kind::object;
      if (!on_member(member_, kind)) {
        return false;
      }
    } else if (depth_ == 2 && inner_is_object_ && !on_inner(member_, inner_, Kind::other)) {
      return false;
    }
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }

  std::string_view document_;
  int depth_ = 0;
  bool inner_is_object_ = false;
  std::string member_;
  std::string inner_;
  std::uint64_t number_ = 0;
  std::string* text_ = nullptr;
  std::optional<Error> error_;
};

class MetadataHandler final : public DocumentHandler {
 public:
  MetadataHandler() : DocumentHandler("metadata.json") {}

  Result<Metadata> take() && {
    if (const auto missing = std::ranges::find(seen_, false); missing != seen_.end()) {
      refuse("lacks " +
             std::string(kMembers.at(static_cast<std::size_t>(missing - seen_.begin()))));
    }
    TRY(std::move(*this).result());
    return std::move(metadata_);
  }

 protected:
  bool on_member(const std::string& member, Kind kind) override {
    const auto found = std::ranges::find(kMembers, member);
    if (found == kMembers.end()) {
      return true;
    }
    const auto index = static_cast<std::size_t>(found - kMembers.begin());
    if (std::exchange(seen_.at(index), true)) {
      return refuse("has " + member + " twice");
    }
    if (index < kTextMembers.size()) {
      if (kind != Kind::text) {
        return refuse("needs a string as " + member);
      }
      metadata_.*kTextMembers.at(index) = std::move(text());
      return true;
    }
    const bool is_version = member == "version";
    if (kind != Kind::number ||
        (is_version && number() > std::numeric_limits<std::uint32_t>::max())) {
      return refuse("needs a whole number as " + member);
    }
    if (is_version) {
      metadata_.version = static_cast<std::uint32_t>(number());
    } else {
      metadata_.created_at = number();
    }
    return true;
  }

 private:
  static constexpr std::array<std::string_view, 6> kMembers{
      "package_name", "task_name", "command", "cache_key_hash", "created_at", "version"};
  static constexpr std::array kTextMembers{
      &Metadata::package_name, &Metadata::task_name, &Metadata::command, &Metadata::cache_key_hash};

  Metadata metadata_;
  std::array<bool, kMembers.size()> seen_{};
};

class ManifestHandler final : public DocumentHandler {
 public:
  explicit ManifestHandler(const ManifestFileSink& sink)
      : DocumentHandler("manifest.json"), sink_(sink) {}

  Result<ManifestTotals> take() && {
    if (!files_seen_) {
      refuse("lacks files");
    } else if (!total_size_) {
      refuse("lacks total_size");
    }
    TRY(std::move(*this).result());
    return ManifestTotals{.total_size = total_size_.value_or(0)};
  }

 protected:
  bool on_member(const std::string& member, Kind kind) override {
    if (member == "files") {
      if (std::exchange(files_seen_, true)) {
        return refuse("has files twice");
      }
      return kind == Kind::object || refuse("needs an object as files");
    }
    if (member == "total_size") {
      if (total_size_) {
        return refuse("has total_size twice");
      }
      if (kind != Kind::number) {
        return refuse("needs a whole number as total_size");
      }
      total_size_ = number();
    }
    return true;
  }

  bool on_inner(const std::string& member, std::string& name, Kind kind) override {
    if (member != "files") {
      return true;
    }
    const auto digest = kind == Kind::text && is_lower_case(text()) ? Sha256::from_hex(text())
                                                                    : std::optional<Sha256>();
    if (!digest) {
      return refuse("needs 64 lower-case hex characters for " + quoted_for_message(name));
    }
    auto accepted = sink_(std::move(name), *digest);
    return accepted || refuse(std::move(accepted).error());
  }

 private:
  static bool is_lower_case(std::string_view text) {
    return std::ranges::none_of(text, [](char c) { return c >= 'A' && c <= 'F'; });
  }

  const ManifestFileSink& sink_;
  bool files_seen_ = false;
  std::optional<std::uint64_t> total_size_;
};

Result<void> check_document(std::string_view text, std::string_view name) {
  if (text.size() > kDocumentSizeMax) {
    return fail(Errc::too_large, std::string(name) + " is larger than 1 MiB");
  }
  // The client's parser takes no byte order mark, ours would skip it.
  if (text.starts_with("\xEF\xBB\xBF")) {
    return fail(Errc::invalid_argument, std::string(name) + " is not valid JSON at byte 1");
  }
  return {};
}

} // namespace

Result<Metadata> parse_metadata(std::string_view text) {
  TRY(check_document(text, "metadata.json"));
  MetadataHandler handler;
  nlohmann::json::sax_parse(text, &handler);
  return std::move(handler).take();
}

Result<ManifestTotals> parse_manifest(std::string_view text, const ManifestFileSink& sink) {
  TRY(check_document(text, "manifest.json"));
  ManifestHandler handler(sink);
  nlohmann::json::sax_parse(text, &handler);
  return std::move(handler).take();
}

std::string quoted_for_message(std::string_view text) {
  constexpr std::size_t kLengthMax = 200;
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string quoted = "\"";
  for (const char c : text) {
    if (quoted.size() > kLengthMax) {
      return quoted + "\"...";
    }
    if (c >= ' ' && c <= '~') {
      quoted += c;
    } else {
      const auto value = static_cast<unsigned char>(c);
      quoted += "\\x";
      quoted += kHex[value >> 4U];
      quoted += kHex[value & 15U];
    }
  }
  return quoted + "\"";
}

} // namespace pkc::protocols::polykit
