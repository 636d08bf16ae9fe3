#include "pkc/store/content_store.hpp"

#include "entry_cache.hpp"
#include "small_file.hpp"
#include "verification.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/background_sha256.hpp"
#include "pkc/base/seekable_zstd.hpp"

#include <utility>

namespace pkc::store {

namespace {

using locks::KeyLocks;

/// Larger files are not kept open: opening costs little beside sending them, and a file that
/// somebody deleted takes up its space for as long as it is open.
constexpr ByteCount kKeptOpenMax = 256 * kKiB;
/// Of smaller ones the bytes are kept: they cost no more than the kernel's side of an open file.
constexpr ByteCount kKeptInMemoryMax = 4 * kKiB;

class LocalContentStore final : public ContentStore {
 public:
  LocalContentStore(blob::Backend& backend,
                    const Clock& clock,
                    ops::Log& log,
                    ops::Metrics& metrics,
                    StoreOptions options)
      : backend_(backend),
        clock_(clock),
        log_(log),
        options_(options),
        locks_(options.key_locks == nullptr ? own_locks_ : *options.key_locks),
        entries_(options.entry_cache_max, options.open_files_max),
        corrupt_objects_(metrics.counter("polykit_cache_corrupt_objects_total",
                                         "Stored objects whose bytes did not match their digest.")),
        stored_objects_(
            metrics.counter("polykit_cache_stored_objects_total", "Objects committed.")) {}

  Result<std::unique_ptr<StoredObject>> open(const Key& key) override;
  Result<std::unique_ptr<StoredObject>> peek(const Key& key) override;
  void note_use(const Key& key) override;
  std::unique_ptr<ByteSource> verified_body(const Key& key, const StoredObject& object) override;
  Result<bool> verify(const Key& key, StoredObject& object) override;
  Result<Scrubbed> scrub(const Key& key, const Pace& pace) override;
  Result<std::unique_ptr<ObjectWriter>> put(const Key& key) override { return begin_object(key); }
  Result<std::unique_ptr<ObjectWriter>> put_unnamed() override {
    return begin_object(std::nullopt);
  }
  Result<bool> remove(const Key& key) override;

  Result<CommitOutcome> commit(const Key& key,
                               blob::Upload& upload,
                               Sidecar sidecar,
                               Room::Share* share);

 private:
  enum class Locked {
    no,
    yes
  };

  Result<std::unique_ptr<ObjectWriter>> begin_object(std::optional<Key> key);
  Result<bool> is_taken(const Key& key, ByteCount& replaced);
  Result<std::unique_ptr<StoredObject>> open_pair(const Key& key, Locked locked);
  Result<std::unique_ptr<StoredObject>> kept_open(const Key& key, const Entry& entry);
  [[nodiscard]] std::unique_ptr<StoredObject> from_memory(Entry entry) const;
  Result<std::unique_ptr<StoredObject>> read_pair(const Key& key,
                                                  std::shared_ptr<File> file,
                                                  const FileStat& identity);
  Result<std::shared_ptr<const Sidecar>> read_facts(const Key& key,
                                                    const std::shared_ptr<File>& file,
                                                    const FileStat& identity);
  Result<bool> lies_about_content(const StoredObject& object) const;
  Result<bool> check(const Key& key, StoredObject& object, Locked locked);
  void settle(const Key& key, const StoredObject& object, bool good, Locked locked);
  void quarantine_under_lock(const Key& key, const StoredObject& object);

  blob::Backend& backend_;
  const Clock& clock_;
  ops::Log& log_;
  StoreOptions options_;
  KeyLocks own_locks_;
  KeyLocks& locks_;
  EntryCache entries_;
  ops::Counter& corrupt_objects_;
  ops::Counter& stored_objects_;
};

class LocalObjectWriter final : public ObjectWriter {
 public:
  /// `share` has room for an empty object; null where nobody counts.
  LocalObjectWriter(LocalContentStore& store,
                    std::optional<Key> key,
                    std::unique_ptr<blob::Upload> upload,
                    std::shared_ptr<Room::Share> share)
      : store_(store),
        key_(std::move(key)),
        share_(std::move(share)),
        upload_(std::move(upload)),
        hasher_(key_ ? BackgroundSha256::kAlwaysInline : BackgroundSha256::kInlineMax) {}

  Result<void> write(ByteSpan bytes) override {
    if (share_) {
      TRY(share_->take(disk_size_of(size_ + bytes.size()) - disk_size_of(size_)));
    }
    hasher_.update(bytes);
    size_ += bytes.size();
    return upload_->write(bytes);
  }

  [[nodiscard]] ByteCount size() const override { return size_; }

  Result<void> replay(ByteSink& target) override {
    PKC_ASSERT(upload_ != nullptr);
    return upload_->replay(target);
  }

  [[nodiscard]] std::shared_ptr<File> file() const override {
    PKC_ASSERT(upload_ != nullptr);
    // The file is gone from the disk only with its last reader.
    const auto held = std::make_shared<Held>(share_, upload_->file());
    return {held, held->file.get()};
  }

  Result<CommitOutcome> commit(const ObjectFacts& facts) override {
    PKC_ASSERT(key_.has_value());
    return commit_as(*key_, facts);
  }

  Result<CommitOutcome> commit_as(const Key& key, const ObjectFacts& facts) override {
    PKC_ASSERT(upload_ != nullptr);
    const auto upload = std::move(upload_);
    return store_.commit(key,
                         *upload,
                         Sidecar{.hash = hasher_.finish(),
                                 .size = size_,
                                 .created_at = facts.created_at,
                                 .key = key.id(),
                                 .stored_at = std::nullopt,
                                 .content = facts.content},
                         share_.get());
  }

 private:
  struct Held {
    std::shared_ptr<Room::Share> share;
    std::shared_ptr<File> file;
  };

  LocalContentStore& store_;
  std::optional<Key> key_;
  std::shared_ptr<Room::Share> share_;   // goes after the upload's file
  std::unique_ptr<blob::Upload> upload_; // null after commit
  /// What has a key comes with its digests: so many uploads at once that each core has one anyway.
  BackgroundSha256 hasher_;
  ByteCount size_ = 0;
};

Result<std::unique_ptr<StoredObject>> LocalContentStore::open(const Key& key) {
  TRY_ASSIGN(auto object, peek(key));
  if (object) {
    note_use(key);
  }
  return object;
}

void LocalContentStore::note_use(const Key& key) {
  if (options_.catalog != nullptr) {
    options_.catalog->read(key.id());
  }
}

Result<std::unique_ptr<StoredObject>> LocalContentStore::peek(const Key& key) {
  TRY_ASSIGN(auto object, open_pair(key, Locked::no));
  if (!object) {
    return nullptr;
  }
  TRY_ASSIGN(const bool visible, check(key, *object, Locked::no));
  return visible ? std::move(object) : nullptr;
}

/// The pair of blob and sidecar, if it is whole by name, key and size; the bytes are not looked at.
Result<std::unique_ptr<StoredObject>> LocalContentStore::open_pair(const Key& key, Locked locked) {
  {
    // The usual case takes no lock: a remembered sidecar belongs to exactly this inode, so the pair
    // cannot be mixed.
    auto entry = entries_.find(key.id());
    if (entry && entry->file) {
      TRY_ASSIGN(auto object, kept_open(key, *entry));
      if (object) {
        return object;
      }
      entry.reset();
    }
    TRY_ASSIGN(std::shared_ptr<File> file, backend_.open(key.id()));
    if (!file) {
      return nullptr;
    }
    const FileStat identity = file->opened_stat();
    if (entry && entry->identity == identity) {
      entry->file = std::move(file);
      if (entry->verified && identity.size <= kKeptOpenMax) {
        entries_.keep_open(key.id(),
                           identity.size <= kKeptInMemoryMax
                               ? read_small_file(entry->file, *entry->sidecar)
                               : entry->file);
      }
      return from_memory(*std::move(entry));
    }
    if (locked == Locked::yes) {
      return read_pair(key, std::move(file), identity);
    }
  }
  // Under the shared lock no writer stands between the two renames, so blob and sidecar are of one
  // upload.
  TRY_ASSIGN(const auto held, locks_.acquire(key.id(), KeyLocks::Mode::shared));
  return open_pair(key, Locked::yes);
}

/// The object of an entry whose file is open, if the name still means that file, unchanged; else
/// null, and the entry is forgotten so that the file is closed.
Result<std::unique_ptr<StoredObject>> LocalContentStore::kept_open(const Key& key,
                                                                   const Entry& entry) {
  TRY_ASSIGN(const auto now, backend_.stat(key.id()));
  if (now == entry.identity) {
    return from_memory(entry);
  }
  entries_.erase(key.id());
  return nullptr;
}

std::unique_ptr<StoredObject> LocalContentStore::from_memory(Entry entry) const {
  const bool verified = entry.verified && options_.verify_reads != VerifyReads::always;
  return std::make_unique<StoredObject>(
      StoredObject{std::move(entry.sidecar), std::move(entry.file), verified, entry.identity});
}

Result<std::unique_ptr<StoredObject>> LocalContentStore::read_pair(const Key& key,
                                                                   std::shared_ptr<File> file,
                                                                   const FileStat& identity) {
  TRY_ASSIGN(auto facts, read_facts(key, file, identity));
  if (!facts) {
    return nullptr;
  }
  const bool verified = options_.verify_reads == VerifyReads::never;
  entries_.put(key.id(), Entry{facts, identity, verified});
  return std::make_unique<StoredObject>(
      StoredObject{std::move(facts), std::move(file), verified, identity});
}

/// The sidecar; null when it is not that of a blob of this identity.
Result<std::shared_ptr<const Sidecar>> LocalContentStore::read_facts(
    const Key& key, const std::shared_ptr<File>& file, const FileStat& identity) {
  const auto text = backend_.read_sidecar(key.id(), kSidecarSizeMax);
  if (!text && text.error().code != Errc::corrupt && text.error().code != Errc::too_large) {
    return std::unexpected(text.error());
  }
  const std::optional<std::string> stored = text ? *text : std::nullopt;
  if (!stored) {
    return nullptr;
  }
  auto sidecar = parse_sidecar(*stored);
  if (!sidecar || sidecar->size != identity.size || !describes(*sidecar, key, options_.blobs)) {
    log_.debug("sidecar does not describe its blob", {{"key", key.id()}});
    return nullptr;
  }
  auto facts = std::make_shared<const Sidecar>(*std::move(sidecar));
  TRY_ASSIGN(const bool lies,
             lies_about_content(StoredObject{
                 .sidecar = facts, .file = file, .verified = false, .identity = identity}));
  return lies ? nullptr : std::move(facts);
}

/// Whether blob and sidecar disagree on the content because of the sidecar, which nothing protects.
/// It is told at once, as nobody else would find out; that of the blob is for its verification.
Result<bool> LocalContentStore::lies_about_content(const StoredObject& object) const {
  if (options_.blobs == Blobs::as_sent) {
    return false;
  }
  const auto table = SeekTable::read(*object.file, object.identity.size);
  if (!table && table.error().code != Errc::corrupt) {
    return std::unexpected(table.error());
  }
  if (table && table->content_size() == object.sidecar->known_content().size) {
    return false;
  }
  return options_.verify_reads == VerifyReads::never ? Result<bool>(true) : bytes_match(object);
}

Result<Scrubbed> LocalContentStore::scrub(const Key& key, const Pace& pace) {
  StoredObject object;
  {
    TRY_ASSIGN(const auto held, locks_.acquire(key.id(), KeyLocks::Mode::shared));
    TRY_ASSIGN(object.file, backend_.open(key.id()));
    if (!object.file) {
      return Scrubbed::missing;
    }
    object.identity = object.file->opened_stat();
    TRY_ASSIGN(object.sidecar, read_facts(key, object.file, object.identity));
  }
  if (!object.sidecar) {
    return Scrubbed::missing;
  }
  TRY_ASSIGN(const auto good, bytes_match_once(object, pace));
  if (!good) {
    return Scrubbed::stopped;
  }
  if (!*good) {
    settle(key, object, false, Locked::no);
  }
  return *good ? Scrubbed::good : Scrubbed::bad;
}

/// Looks at the bytes of an object that is small enough to be verified before it is answered for.
/// False: it was bad.
Result<bool> LocalContentStore::check(const Key& key, StoredObject& object, Locked locked) {
  if (object.verified || object.sidecar->size > options_.verify_ahead_max) {
    return true;
  }
  TRY_ASSIGN(object.verified, bytes_match(object));
  settle(key, object, object.verified, locked);
  return object.verified;
}

/// Acts on what hashing an object showed.
void LocalContentStore::settle(const Key& key,
                               const StoredObject& object,
                               bool good,
                               Locked locked) {
  if (good) {
    entries_.put(key.id(), Entry{object.sidecar, object.identity, true});
    return;
  }
  entries_.erase(key.id());
  if (locked == Locked::yes) {
    quarantine_under_lock(key, object);
    return;
  }
  const auto held = locks_.acquire(key.id(), KeyLocks::Mode::exclusive);
  if (!held) {
    log_.error("corrupt object could not be quarantined; it stays a miss",
               {{"key", key.id()}, {"reason", held.error().message}});
    return;
  }
  quarantine_under_lock(key, object);
}

void LocalContentStore::quarantine_under_lock(const Key& key, const StoredObject& object) {
  // Others may have read the same bad file and been faster, or a writer may have put a good one in
  // its place.
  const auto file = backend_.open(key.id());
  if (!file || !*file) {
    return;
  }
  if ((*file)->opened_stat().inode != object.identity.inode) {
    return;
  }
  corrupt_objects_.add();
  const std::string note = "bytes do not match the digest " + object.sidecar->hash.hex() + "\n";
  if (const auto moved = backend_.quarantine(key.id(), note); !moved) {
    log_.error("corrupt object could not be quarantined; it stays a miss",
               {{"key", key.id()}, {"reason", moved.error().message}});
    return;
  }
  if (options_.catalog != nullptr) {
    options_.catalog->removed(key.id(), object.identity.size);
  }
  log_.warn("corrupt object quarantined", {{"key", key.id()}, {"size", object.sidecar->size}});
}

std::unique_ptr<ByteSource> LocalContentStore::verified_body(const Key& key,
                                                             const StoredObject& object) {
  return std::make_unique<VerifyingSource>(
      object, [this, key, object](bool good) { settle(key, object, good, Locked::no); });
}

Result<bool> LocalContentStore::verify(const Key& key, StoredObject& object) {
  if (!object.verified) {
    TRY_ASSIGN(object.verified, bytes_match(object));
    settle(key, object, object.verified, Locked::no);
  }
  return object.verified;
}

Result<std::unique_ptr<ObjectWriter>> LocalContentStore::begin_object(std::optional<Key> key) {
  std::shared_ptr<Room::Share> share;
  if (options_.catalog != nullptr) {
    share = std::make_shared<Room::Share>(options_.catalog->room(), options_.catalog->space());
    TRY(share->take(disk_size_of(0)));
  }
  TRY_ASSIGN(auto upload, backend_.begin_upload());
  return std::make_unique<LocalObjectWriter>(
      *this, std::move(key), std::move(upload), std::move(share));
}

/// Whether an object is visible that has to stay. Otherwise tells what one takes of the disk that
/// is to be replaced. Under the exclusive lock.
Result<bool> LocalContentStore::is_taken(const Key& key, ByteCount& replaced) {
  TRY_ASSIGN(const auto existing, open_pair(key, Locked::yes));
  if (!existing) {
    return false;
  }
  if (options_.overwrite == Overwrite::yes) {
    replaced = disk_size_of(existing->identity.size);
    return false;
  }
  return check(key, *existing, Locked::yes);
}

Result<CommitOutcome> LocalContentStore::commit(const Key& key,
                                                blob::Upload& upload,
                                                Sidecar sidecar,
                                                Room::Share* share) {
  sidecar.stored_at = clock_.wall_now();
  const std::string text = format_sidecar(sidecar);
  TRY_ASSIGN(const auto held, locks_.acquire(key.id(), KeyLocks::Mode::exclusive));
  ByteCount replaced = 0;
  TRY_ASSIGN(const bool taken, is_taken(key, replaced));
  if (taken) {
    return CommitOutcome::exists;
  }
  TRY(upload.publish(key.id(), text));
  // Not remembered as verified: the first read hashes what the disk really holds.
  stored_objects_.add();
  if (share != nullptr) {
    options_.catalog->stored(key.id(), sidecar.size, *share);
    if (replaced > 0) {
      options_.catalog->room().release(options_.catalog->space(), replaced);
    }
  }
  return CommitOutcome::stored;
}

Result<bool> LocalContentStore::remove(const Key& key) {
  TRY_ASSIGN(const auto held, locks_.acquire(key.id(), KeyLocks::Mode::exclusive));
  TRY_ASSIGN(const auto blob, backend_.stat(key.id()));
  TRY_ASSIGN(const bool removed, backend_.remove(key.id()));
  entries_.erase(key.id());
  if (blob && options_.catalog != nullptr) {
    options_.catalog->removed(key.id(), blob->size);
  }
  return removed;
}

} // namespace

std::unique_ptr<ContentStore> make_content_store(blob::Backend& backend,
                                                 const Clock& clock,
                                                 ops::Log& log,
                                                 ops::Metrics& metrics,
                                                 StoreOptions options) {
  return std::make_unique<LocalContentStore>(backend, clock, log, metrics, options);
}

} // namespace pkc::store
