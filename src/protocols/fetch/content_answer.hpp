// The answer that gives a file of the archive.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/seekable_zstd.hpp"
#include "pkc/http/message.hpp"
#include "pkc/store/archive.hpp"
#include "pkc/store/content_addressed_store.hpp"
#include "pkc/store/key.hpp"
#include "pkc/upstream/downloads.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::protocols::fetch {

/// How the bytes came to be here.
enum class Cached : bool {
  miss, ///< they were downloaded for this request
  hit,
};

/// What it takes to give a whole file once more without a look at its record. Immutable.
struct Repeatable {
  store::Key content;
  FileStat identity;        ///< of the stored file, of which all this is true
  ByteCount size = 0;       ///< of the content
  bool encoded = false;     ///< the stored file as it is, for clients that take zstd
  std::vector<RawRun> runs; ///< otherwise: where the content lies in it
  std::shared_ptr<const std::string> field_lines; ///< never null
};

struct ContentResponse {
  http::Response response;
  /// Null when the same request has to be answered anew each time.
  std::shared_ptr<const Repeatable> repeatable = nullptr;
};

/// 200, 206, 304, 412 or 416 of a file in the archive. Nothing when its bytes turned out to be
/// damaged: it is in quarantine, and a miss from now on. Errors: io.
Result<std::optional<ContentResponse>> answer_content(const http::Request& request,
                                                      store::Archive::Found found,
                                                      store::ContentAddressedStore& contents,
                                                      Cached cached);

/// The answer once more, as a hit. Nothing when the request wants something else than the whole
/// file in this coding, or the file is not the same any more: then answer_content() knows.
std::optional<http::Response> repeat_answer(const http::Request& request,
                                            std::shared_ptr<const Repeatable> repeatable,
                                            store::ContentAddressedStore& contents);

/// 200 or 206 of a file that still arrives from `url`. Nothing when only the whole file can answer
/// the request. REQUIRES: the waiter has an answer of the origin.
std::optional<http::Response> answer_arriving(const http::Request& request,
                                              std::string_view url,
                                              std::shared_ptr<upstream::Waiter> waiter);

} // namespace pkc::protocols::fetch
