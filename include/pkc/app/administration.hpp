// Administration: the admin API, of a running server or of a directory without one.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/config/settings.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pkc::app {

/// What the admin API answered (protocols/admin.hpp says what there is to ask).
struct AdminAnswer {
  int status = 0;
  std::string body; ///< JSON, or empty
};

/// Hears how long an artifact is before its bytes come. May be empty.
using OnLength = std::function<void(ByteCount)>;

/// Answers admin requests, the same ones in the same words wherever the objects are. One thread at
/// a time.
class Administration {
 public:
  virtual ~Administration() = default;
  /// `method` is GET, PUT, POST or DELETE; `target` is path and query, encoded. Blocks. Errors:
  /// unavailable when there was no answer.
  virtual Result<AdminAnswer> ask(const std::string& method, const std::string& target) = 0;
  /// GET of an artifact, whose bytes go to `sink` when the status is 200; after an error what it
  /// got is worth nothing. Errors also: what `sink` returns.
  virtual Result<AdminAnswer> download(const std::string& target,
                                       ByteSink& sink,
                                       const OnLength& on_length) = 0;
  /// PUT of a file, checked as every upload is. Errors also: io.
  virtual Result<AdminAnswer> upload(const std::string& target, File& file) = 0;
};

struct RemoteOptions {
  std::string url;   ///< http://HOST[:PORT], https://…, unix:/PATH
  std::string token; ///< may be empty
};
/// Of a running server. Errors: invalid_argument for a URL that is none.
Result<std::unique_ptr<Administration>> administer_server(const RemoteOptions& options);

/// What is done to a directory.
enum class Use : std::uint8_t {
  reading,  ///< beside a server as well; what that has noted in the last seconds may be missing
  changing, ///< as the only user, and with an index that knows every object
};
/// Of the directory of the settings, by the user that owns it. Warnings go to standard error. The
/// object ends before the process does, or the index has to be compared with the files once more.
/// Errors, all for people: unavailable when a server uses the directory and it is to be changed, or
/// when its index cannot be used; io when there is no such directory, or it is somebody else's.
Result<std::unique_ptr<Administration>> administer_directory(const config::Settings& settings,
                                                             Use use);

/// How far a rebuild is, and what it has found.
struct RebuildProgress {
  std::size_t shards = 0; ///< in all
  std::size_t shards_done = 0;
  std::uint64_t objects = 0;
  std::uint64_t added = 0;
  std::uint64_t removed = 0;
};
/// Compares the whole index with the files and corrects it; pins, access times and hits of objects
/// that it knew stay. `report` is called after each piece. Errors as administer_directory(), and
/// those of index and disk.
Result<RebuildProgress> rebuild_index(const config::Settings& settings,
                                      const std::function<void(const RebuildProgress&)>& report);

} // namespace pkc::app
