// Listening on a name in the file system: the Unix socket and the file that stands for it.
#pragma once

#include "pkc/base/result.hpp"
#include "pkc/base/unique_handle.hpp"
#include "pkc/http/server.hpp"

#include <sys/types.h>

#include <memory>
#include <string>

namespace pkc::http {

/// The file of a Unix socket that this process listens on. Destruction removes it, unless another
/// server has taken the name since. One thread at a time. A crash leaves the file; the next
/// listen_on_file() replaces it.
class SocketFile {
 public:
  SocketFile(std::string path, SocketFileId id) : path_(std::move(path)), id_(id) {}
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  SocketFile(SocketFile&&) = delete;
  SocketFile& operator=(SocketFile&&) = delete;
  ~SocketFile();

  [[nodiscard]] SocketFileId id() const { return id_; }
  /// Leaves it to another process to remove the file.
  void give_up() { ours_ = false; }

 private:
  const std::string path_;
  const SocketFileId id_;
  bool ours_ = true;
};

/// A listening Unix socket and its file. The file goes first: while the socket is open nobody else
/// can have its inode number.
struct FileListener {
  UniqueFd socket;
  std::unique_ptr<SocketFile> file;
};

/// Listens, without blocking, on a socket file with the permission bits `mode`. The file of a
/// server that has died is replaced. Errors: invalid_argument for a path that is relative or
/// longer than the kernel takes (107 bytes); conflict when a server answers there, when the name
/// belongs to something else than a socket, and while another server begins to listen in the same
/// directory; io for the rest.
Result<FileListener> listen_on_file(const std::string& path, mode_t mode);

} // namespace pkc::http
