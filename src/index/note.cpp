#include "note.hpp"

#include <algorithm>
#include <utility>

namespace pkc::index {
namespace {

Note with_reads(Note note, const Note& reads) {
  note.hits += reads.hits;
  note.accessed_at = std::max(note.accessed_at, reads.accessed_at);
  return note;
}

Note with_source(Note note, const Note& newer) {
  if (newer.source) {
    note.source = newer.source;
    note.noted_at = note.kind == Note::Kind::read ? newer.noted_at : note.noted_at;
  }
  return note;
}

/// Adds reads that were early for `newer` and that `older` makes ordinary ones.
Note with_early(Note note, const Note& newer) {
  note.hits += newer.early_hits;
  note.accessed_at = std::max(note.accessed_at, newer.early_at);
  return note;
}

/// The files say what there is, but not how it was used.
Note found_after(const Note& older, const Note& found) {
  Note note = found;
  note.early_hits = older.early_hits;
  note.early_at = older.early_at;
  switch (older.kind) {
    case Note::Kind::read:
      note.early_hits = older.hits + found.early_hits;
      note.early_at = std::max(older.accessed_at, found.early_at);
      break;
    case Note::Kind::stored:
      note = with_early(with_reads(note, older), found);
      note.kind = Note::Kind::stored;
      note.used_first = older.used_first;
      note.afresh = older.afresh;
      note.record = older.record;
      note.plain = older.plain;
      note.order = older.order;
      break;
    case Note::Kind::removed:
      note.kind = Note::Kind::stored;
      note.used_first = found.stored_at;
      note.afresh = true;
      break;
    case Note::Kind::found:
      note = with_early(with_reads(note, older), found);
      note.used_first = older.used_first;
      note.order = older.order;
      break;
  }
  return note;
}

/// Of a record only what it says is new. Whether it is one, only the database may know: reads of
/// before count if so.
Note stored_after(const Note& older, const Note& stored) {
  if (stored.afresh) {
    return stored;
  }
  const bool is_known = older.kind == Note::Kind::stored;
  Note note = stored;
  note.record = stored.record || older.record || older.source != nullptr;
  note.early_hits = 0;
  note.early_at = {};
  if (older.kind == Note::Kind::removed || stored.plain) {
    return note;
  }
  if (is_known && !note.record) {
    note.plain = true;
    return note;
  }
  if (is_known) {
    note.plain = older.plain;
    note = with_early(with_reads(note, older), stored);
    note.early_hits = older.early_hits;
    note.early_at = older.early_at;
    note.used_first = older.used_first;
  } else {
    note.early_hits = older.early_hits + older.hits + stored.early_hits;
    note.early_at = std::max({older.early_at, older.accessed_at, stored.early_at});
  }
  return note;
}

} // namespace

Note combine(const Note& older, const Note& newer) {
  switch (newer.kind) {
    case Note::Kind::read: // of an object that is gone: its reader had it open
      return older.kind == Note::Kind::removed ? older
                                               : with_source(with_reads(older, newer), newer);
    case Note::Kind::stored: {
      Note note = stored_after(older, newer);
      note.afresh |= older.afresh || older.kind == Note::Kind::removed;
      note.plain &= !note.afresh; // the database knows nothing of this one
      if (older.kind == Note::Kind::stored || older.kind == Note::Kind::found) {
        note.order = newer.afresh ? newer.order : older.order;
      }
      return note;
    }
    case Note::Kind::removed:
      return newer;
    case Note::Kind::found:
      return found_after(older, newer);
  }
  std::unreachable();
}

} // namespace pkc::index
