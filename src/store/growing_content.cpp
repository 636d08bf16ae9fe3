#include "pkc/store/growing_content.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <iterator>

namespace pkc::store {

Piece GrowingContent::piece(ByteCount offset) const {
  const auto state = state_.lock();
  PKC_ASSERT(offset < state->size);
  const auto next = std::ranges::upper_bound(state->segments, offset, {}, &Segment::content_begin);
  const Segment& segment = *std::prev(next);
  const ByteCount end = next == state->segments.end() ? state->size : next->content_begin;
  return {.file = segment.spooled ? state->spool : upload_,
          .file_offset = segment.file_begin + (offset - segment.content_begin),
          .length = end - offset};
}

void GrowingContent::add_stored(ByteCount file_offset, ByteCount length) {
  const auto state = state_.lock();
  state->segments.push_back(
      {.content_begin = state->size, .file_begin = file_offset, .spooled = false});
  state->size += length;
}

void GrowingContent::add_spooled(const std::shared_ptr<File>& spool, ByteCount length) {
  const auto state = state_.lock();
  state->spool = spool;
  if (state->segments.empty() || !state->segments.back().spooled) {
    state->segments.push_back(
        {.content_begin = state->size, .file_begin = state->spooled, .spooled = true});
  }
  state->spooled += length;
  state->size += length;
}

} // namespace pkc::store
