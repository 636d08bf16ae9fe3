#include "pending.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>

namespace pkc::index {

namespace {

/// As combine(), in place for the note that comes with every request.
void add_to(Note& known, const Note& note) {
  if (note.kind != Note::Kind::read || note.source || known.kind == Note::Kind::removed) {
    known = combine(known, note);
    return;
  }
  known.hits += note.hits;
  known.accessed_at = std::max(known.accessed_at, note.accessed_at);
}

} // namespace

Pending::Fill Pending::add(NameView name, Note note) {
  if (note.kind != Note::Kind::read) {
    note.order = order_.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  {
    auto notes = shard_of(name).lock();
    if (const auto known = notes->find(name); known != notes->end()) {
      add_to(known->second, note);
      return Fill::other;
    }
    if (has_room(note)) {
      notes->emplace(Name{std::string(name.space), std::string(name.key)}, note);
      const std::size_t before = count_.fetch_add(1, std::memory_order_relaxed);
      return before + 1 == limit_ / 2 ? Fill::half : Fill::other;
    }
  }
  drop(note);
  return Fill::other;
}

Batch Pending::take() {
  Batch batch;
  batch.reserve(count_);
  for (Guarded<Notes>& shard : shards_) {
    Notes notes;
    {
      auto access = shard.lock();
      std::swap(notes, *access);
      count_.fetch_sub(notes.size(), std::memory_order_relaxed);
    }
    while (!notes.empty()) {
      auto node = notes.extract(notes.begin());
      batch.emplace_back(std::move(node.key()), node.mapped());
    }
  }
  std::ranges::sort(batch, {}, [](const auto& entry) {
    const Note& note = entry.second;
    return std::tuple(note.order == 0, note.order, note.accessed_at);
  });
  return batch;
}

void Pending::put_back(Batch batch) {
  for (auto& [name, note] : batch) {
    auto notes = shard_of(name).lock();
    if (const auto known = notes->find(name); known != notes->end()) {
      known->second = combine(note, known->second);
    } else if (has_room(note)) {
      notes->emplace(std::move(name), note);
      count_.fetch_add(1, std::memory_order_relaxed);
    } else {
      drop(note);
    }
  }
}

Pending::Dropped Pending::take_dropped() {
  return std::exchange(*dropped_.lock(), {});
}

Guarded<Pending::Notes>& Pending::shard_of(NameView name) {
  // Not the low bits, by which each shard's table places its entries.
  return shards_[(name.hash >> 48U) % kShards];
}

bool Pending::has_room(const Note& note) const {
  const std::size_t room = note.kind == Note::Kind::read ? limit_ / 4 * 3 : limit_;
  return count_.load(std::memory_order_relaxed) < room;
}

void Pending::drop(const Note& note) {
  auto dropped = dropped_.lock();
  if (note.kind == Note::Kind::read) {
    ++dropped->reads;
    return;
  }
  ++dropped->others;
  dropped->since = std::min(dropped->since.value_or(note.noted_at), note.noted_at);
}

} // namespace pkc::index
