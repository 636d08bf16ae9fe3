#include "pkc/store/content_addressed_store.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/background_sha256.hpp"
#include "pkc/store/room.hpp"

#include <algorithm>
#include <utility>

namespace pkc::store {

namespace {

/// Plain content on the disk, for those who read it while it is compressed beside.
class Spool {
 public:
  /// `catalog` may be null.
  static Result<Spool> make(blob::Backend& backend, Catalog* catalog) {
    std::shared_ptr<Room::Share> share;
    if (catalog != nullptr) {
      share = std::make_shared<Room::Share>(catalog->room(), catalog->space());
    }
    TRY_ASSIGN(auto file, backend.make_scratch());
    const auto held = std::make_shared<Held>(Held{std::move(share), std::move(file)});
    return Spool(held);
  }

  Result<void> write(ByteSpan bytes) {
    if (held_->share) {
      TRY(held_->share->take(disk_size_of(size_ + bytes.size()) - disk_size_of(size_)));
    }
    size_ += bytes.size();
    return held_->file->write(bytes);
  }

  /// The room is taken for as long as somebody has the file.
  [[nodiscard]] std::shared_ptr<File> file() const { return {held_, held_->file.get()}; }

 private:
  struct Held {
    std::shared_ptr<Room::Share> share; // goes after the file
    std::shared_ptr<File> file;
  };

  explicit Spool(std::shared_ptr<Held> held) : held_(std::move(held)) {}

  std::shared_ptr<Held> held_;
  ByteCount size_ = 0;
};

class EncodingWriter final : public ContentWriter, private SeekableZstdObserver {
 public:
  EncodingWriter(const ContentAddressedParts& parts, std::unique_ptr<ObjectWriter> object)
      : parts_(parts), object_(std::move(object)), encoder_(*object_, parts.encoders, this) {}

  Result<void> write(ByteSpan bytes) override {
    PKC_ASSERT(!digest_);
    hasher_.update(bytes);
    return keep(encoder_.write(bytes));
  }
  Result<void> flush() override { return keep(encoder_.flush()); }
  [[nodiscard]] ByteCount size() const override { return encoder_.content_size(); }
  std::shared_ptr<GrowingContent> growing() override;
  Result<Sha256> finish() override;
  Result<ContentCommit> commit(const ContentFacts& facts) override;

 private:
  void on_raw(ByteCount content_offset, ByteCount stored_offset, ByteCount length) override;
  Result<void> on_compressed(ByteCount content_offset, ByteSpan content) override;

  /// What failed once is not whole any more.
  Result<void> keep(Result<void> result) {
    if (!result && !failure_) {
      failure_ = result.error();
    }
    return result;
  }

  const ContentAddressedParts parts_;
  const std::unique_ptr<ObjectWriter> object_;
  SeekableZstdWriter encoder_;
  BackgroundSha256 hasher_;
  std::optional<Sha256> digest_; ///< once it is finished
  std::optional<Error> failure_;
  std::shared_ptr<GrowingContent> growing_; ///< null: nobody reads meanwhile
  std::optional<Spool> spool_;              ///< once there is something for it
};

std::shared_ptr<GrowingContent> EncodingWriter::growing() {
  if (!growing_) {
    PKC_ASSERT(size() == 0);
    growing_ = std::make_shared<GrowingContent>(object_->file());
  }
  return growing_;
}

void EncodingWriter::on_raw(ByteCount content_offset, ByteCount stored_offset, ByteCount length) {
  if (growing_) {
    PKC_ASSERT(content_offset == growing_->size());
    growing_->add_stored(stored_offset, length);
  }
}

Result<void> EncodingWriter::on_compressed(ByteCount content_offset, ByteSpan content) {
  if (!growing_) {
    return {};
  }
  PKC_ASSERT(content_offset == growing_->size());
  if (!spool_) {
    TRY_ASSIGN(spool_, Spool::make(parts_.backend, parts_.catalog));
  }
  TRY(spool_->write(content));
  growing_->add_spooled(spool_->file(), content.size());
  return {};
}

Result<Sha256> EncodingWriter::finish() {
  if (failure_) {
    return std::unexpected(*failure_);
  }
  if (!digest_) {
    TRY(keep(encoder_.finish()));
    digest_ = hasher_.finish();
  }
  return *digest_;
}

Result<ContentCommit> EncodingWriter::commit(const ContentFacts& facts) {
  if (!is_content_type(facts.content_type)) {
    return fail(Errc::invalid_argument, "the content type is too long or not plain text");
  }
  TRY_ASSIGN(const Sha256 digest, finish());
  TRY_ASSIGN(const CommitOutcome outcome,
             object_->commit_as(Key::of(digest),
                                {.created_at = facts.created_at,
                                 .content = SidecarContent{
                                     .hash = digest, .size = size(), .type = facts.content_type}}));
  return ContentCommit{.digest = digest, .outcome = outcome};
}

/// Whether a space can never take so much.
bool exceeds(const Catalog& catalog, const RoomLimits& limits, ByteCount size) {
  const auto own = limits.space_size_max.find(catalog.space());
  const ByteCount own_max = own == limits.space_size_max.end() ? 0 : own->second;
  return (limits.size_max > 0 && size > limits.size_max) || (own_max > 0 && size > own_max);
}

} // namespace

Result<void> ContentObject::open_file() {
  if (!file_) {
    TRY_ASSIGN(auto opened, SeekableZstdFile::open(stored_.file, stored_.identity.size));
    file_ = std::make_unique<const SeekableZstdFile>(std::move(opened));
    if (file_->content_size() != size()) {
      return fail(Errc::corrupt, "seek table and sidecar disagree on the size of the content");
    }
  }
  return {};
}

Result<std::optional<Piece>> ContentObject::raw_piece(ByteCount offset) {
  PKC_ASSERT(verified());
  TRY(open_file());
  return file_->raw_piece(offset);
}

Result<bool> ContentObject::is_raw(ByteCount offset, ByteCount length) {
  PKC_ASSERT(verified());
  TRY(open_file());
  return file_->is_raw(offset, length);
}

Result<std::optional<std::vector<RawRun>>> ContentObject::raw_runs(std::size_t runs_max) {
  PKC_ASSERT(verified());
  TRY(open_file());
  return file_->raw_runs(runs_max);
}

Result<std::unique_ptr<ByteSource>> ContentObject::content(ByteCount offset, ByteCount length) {
  PKC_ASSERT(verified());
  TRY(open_file());
  return file_->content(offset, length, pool_);
}

Result<std::unique_ptr<ContentObject>> ContentAddressedStore::open(const Key& key) {
  TRY_ASSIGN(auto stored, parts_.objects.open(key));
  if (!stored) {
    return nullptr;
  }
  return std::make_unique<ContentObject>(key, *std::move(stored), parts_.decoders);
}

Result<bool> ContentAddressedStore::verify(ContentObject& object) {
  return parts_.objects.verify(object.key_, object.stored_);
}

std::unique_ptr<ByteSource> ContentAddressedStore::verified_content(const ContentObject& object) {
  return make_decoding_source(verified_stored(object), object.size(), parts_.decoders);
}

std::unique_ptr<ByteSource> ContentAddressedStore::verified_stored(const ContentObject& object) {
  return parts_.objects.verified_body(object.key_, object.stored_);
}

Result<std::unique_ptr<ContentWriter>> ContentAddressedStore::put(
    std::optional<ByteCount> expected_size) {
  Catalog* const catalog = parts_.catalog;
  if (catalog != nullptr && expected_size &&
      exceeds(*catalog, catalog->room().limits(), *expected_size)) {
    return fail(Errc::no_space, "the content is larger than all that may be stored");
  }
  TRY_ASSIGN(auto object, parts_.objects.put_unnamed());
  return std::make_unique<EncodingWriter>(parts_, std::move(object));
}

Result<bool> ContentAddressedStore::remove(const Sha256& digest) {
  return parts_.objects.remove(Key::of(digest));
}

Result<Scrubbed> ContentAddressedStore::scrub(const Sha256& digest, const Pace& pace) {
  return parts_.objects.scrub(Key::of(digest), pace);
}

} // namespace pkc::store
