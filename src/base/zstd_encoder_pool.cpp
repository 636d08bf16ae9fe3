#include "seekable_format.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/seekable_zstd.hpp"

#include <zstd.h>

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

namespace pkc {

namespace {

constexpr std::size_t kFrameSize = kSeekableFrameSize;
constexpr int kLevel = 3;

/// Writes a frame of raw blocks to `output`, which has room for it: libzstd asks for 4 KiB more
/// than the content of a frame, and this takes 30 bytes.
std::size_t encode_raw(ByteSpan content, std::byte* output) {
  std::byte* out = std::ranges::copy(zstd::kRawFrameHeader, output).out;
  while (!content.empty()) {
    const std::size_t size = std::min(content.size(), zstd::kBlockSizeMax);
    const bool last = size == content.size();
    zstd::write_number(
        size << zstd::kBlockSizeShift | zstd::kRawBlock | (last ? zstd::kLastBlock : 0),
        {out, zstd::kBlockHeaderSize});
    out += zstd::kBlockHeaderSize;
    std::memcpy(out, content.data(), size);
    out += size;
    content = content.subspan(size);
  }
  return static_cast<std::size_t>(out - output);
}

} // namespace

void ZstdEncoderPool::ContextTraits::close(Type context) noexcept {
  ZSTD_freeCCtx(context);
}

ZstdEncoderPool::~ZstdEncoderPool() {
  std::vector<std::jthread> threads;
  {
    const auto state = state_.lock();
    PKC_ASSERT(state->offered == 0);
    state->stopping = true;
    threads = std::move(state->threads);
  }
  queued_.notify_all();
  threads.clear(); // joins
}

Result<ZstdEncoderPool::Context> ZstdEncoderPool::acquire() {
  Context context;
  {
    const auto state = state_.lock();
    if (!state->idle.empty()) {
      context = std::move(state->idle.back());
      state->idle.pop_back();
    }
  }
  if (!context.handle) {
    context.handle.reset(ZSTD_createCCtx());
    context.content = std::make_unique_for_overwrite<std::byte[]>(kFrameSize);
    context.output = std::make_unique_for_overwrite<std::byte[]>(ZSTD_compressBound(kFrameSize));
  }
  if (!context.handle) {
    return fail(Errc::unavailable, "no memory for a zstd context");
  }
  return context;
}

void ZstdEncoderPool::release(Context context) {
  const auto state = state_.lock();
  if (state->idle.size() < idle_max_) {
    state->idle.push_back(std::move(context));
  }
}

Result<ByteSpan> ZstdEncoderPool::compress(Context& context, ByteSpan content, int level) {
  ZSTD_CCtx* const handle = context.handle.get();
  for (const auto& [parameter, value] :
       {std::pair(ZSTD_c_compressionLevel, level), std::pair(ZSTD_c_checksumFlag, 1)}) {
    PKC_ASSERT(ZSTD_isError(ZSTD_CCtx_setParameter(handle, parameter, value)) == 0);
  }
  const std::size_t size = ZSTD_compress2(
      handle, context.output.get(), ZSTD_compressBound(kFrameSize), content.data(), content.size());
  if (ZSTD_isError(size) != 0) {
    // There is room for whatever comes, so only memory can be missing.
    return fail(Errc::unavailable, std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return ByteSpan(context.output.get(), size);
}

Result<ByteSpan> ZstdEncoderPool::encode(Context& context, std::size_t size) {
  const ByteSpan content(context.content.get(), size);
  TRY_ASSIGN(const ByteSpan output, compress(context, content, kLevel));
  if (zstd::is_worth_it(output.size(), content.size())) {
    return output;
  }
  // The sample was not like the rest.
  return ByteSpan(context.output.get(), encode_raw(content, context.output.get()));
}

/// Begins another thread while there are too few. False: there is none at all.
bool ZstdEncoderPool::has_helper(State& state) {
  if (state.threads.size() < helpers_) {
    try {
      state.threads.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
      return !state.threads.empty();
    }
  }
  return !state.threads.empty();
}

bool ZstdEncoderPool::offer(const std::shared_ptr<Job>& job) {
  {
    const auto state = state_.lock();
    if (state->offered >= 2 * helpers_ || !has_helper(*state)) {
      return false;
    }
    job->offered = true;
    ++state->offered;
    state->queue.push_back(job);
  }
  queued_.notify_one();
  return true;
}

Result<ByteSpan> ZstdEncoderPool::collect(const std::shared_ptr<Job>& job) {
  if (job->offered) {
    auto state = state_.lock();
    --state->offered;
    if (std::erase(state->queue, job) == 0) {
      done_.wait(state.lock(), [&] { return job->done; });
      return job->frame;
    }
  }
  return encode(job->context, job->size);
}

void ZstdEncoderPool::drop(const std::shared_ptr<Job>& job) {
  {
    auto state = state_.lock();
    --state->offered;
    if (std::erase(state->queue, job) == 0) {
      done_.wait(state.lock(), [&] { return job->done; });
    }
  }
  release(std::move(job->context));
}

void ZstdEncoderPool::help() {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "zstd")); // for humans only
  auto state = state_.lock();
  while (true) {
    queued_.wait(state.lock(), [&] { return state->stopping || !state->queue.empty(); });
    if (state->stopping) {
      return;
    }
    const auto job = std::move(state->queue.front());
    state->queue.pop_front();
    state.lock().unlock();
    auto frame = encode(job->context, job->size);
    state.lock().lock();
    job->frame = std::move(frame);
    job->done = true;
    done_.notify_all();
  }
}

} // namespace pkc
