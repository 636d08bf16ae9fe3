#include "socket_file.hpp"

#include "pkc/http/inspect.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pkc::http {

namespace {

constexpr int kBacklog = 4096; ///< the kernel's net.core.somaxconn caps it

Result<sockaddr_un> make_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!path.starts_with('/')) {
    return fail(Errc::invalid_argument, "the path of a Unix socket must begin with /");
  }
  if (path.size() >= sizeof(address.sun_path) || path.find('\0') != std::string::npos) {
    return fail(Errc::invalid_argument,
                "the path of a Unix socket must have less than " +
                    std::to_string(sizeof(address.sun_path)) + " bytes and no zero byte");
  }
  std::memcpy(static_cast<char*>(address.sun_path), path.data(), path.size());
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

/// The directory of `path`, locked against other servers: between the look at a dead server's file
/// and its removal a second server could have put its own there. The lock ends with the descriptor.
Result<UniqueFd> lock_directory(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    const int error_number = errno;
    return error_number == ENOENT
               ? fail(Errc::io, "there is no directory " + directory + "; make it first")
               : fail_errno(error_number, "open " + directory);
  }
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    const int error_number = errno;
    if (error_number == EWOULDBLOCK) {
      return fail(Errc::conflict, "another process holds the lock of " + directory);
    }
    return fail_errno(error_number, "lock " + directory);
  }
  return fd;
}

/// Whether a server listens there. False also when there is no file.
Result<bool> answers(const sockaddr_un& address) {
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) {
    return fail_errno(errno, "socket");
  }
  if (::connect(probe.get(), generic(address), sizeof(address)) == 0) {
    return true;
  }
  const int error_number = errno;
  switch (error_number) {
    case EAGAIN: // its backlog is full
      return true;
    case ECONNREFUSED:
    case ENOENT:
      return false;
    default:
      return fail_errno(error_number, "connect");
  }
}

/// Makes the name free, if all that has it is the file of a dead server.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    const int error_number = errno;
    return error_number == ENOENT ? Result<void>{} : fail_errno(error_number, "stat");
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(Errc::conflict,
                "there is a file of that name which is no socket; it is left alone");
  }
  TRY_ASSIGN(const bool alive, answers(address));
  if (alive) {
    return fail(Errc::conflict, "another server listens there");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return fail_errno(errno, "unlink");
  }
  return {};
}

SocketFileId id_of(const struct stat& status) {
  return {.device = status.st_dev, .inode = status.st_ino};
}

/// From bind() to listen() the kernel refuses clients, so nobody connects before the mode is right.
Result<FileListener> bind_file(const std::string& path, const sockaddr_un& address, mode_t mode) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) {
    return fail_errno(errno, "socket");
  }
  if (::bind(socket.get(), generic(address), sizeof(address)) != 0) {
    const int error_number = errno;
    return error_number == EACCES ? fail(Errc::io, "this user may not make a file in its directory")
                                  : fail_errno(error_number, "bind");
  }
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    return fail_errno(errno, "stat");
  }
  FileListener made{.socket = std::move(socket),
                    .file = std::make_unique<SocketFile>(path, id_of(status))};
  if (::chmod(path.c_str(), mode) != 0) {
    return fail_errno(errno, "chmod");
  }
  if (::listen(made.socket.get(), kBacklog) != 0) {
    return fail_errno(errno, "listen");
  }
  return made;
}

} // namespace

SocketFile::~SocketFile() {
  if (!ours_) {
    return;
  }
  // Held or not, the inode decides; the lock only keeps a new server from coming in between.
  const auto lock = lock_directory(path_);
  struct stat status{};
  if (::lstat(path_.c_str(), &status) == 0 && id_of(status) == id_) {
    static_cast<void>(::unlink(path_.c_str())); // what stays is replaced at the next start
  }
}

Result<SocketPath> inspect_socket_path(const std::string& path) {
  TRY_ASSIGN(const sockaddr_un address, make_address(path));
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    const int error_number = errno;
    return error_number == ENOENT ? Result<SocketPath>(SocketPath::free)
                                  : fail_errno(error_number, "stat " + path);
  }
  if (!S_ISSOCK(status.st_mode)) {
    return SocketPath::foreign;
  }
  TRY_ASSIGN(const bool alive, answers(address));
  return alive ? SocketPath::alive : SocketPath::stale;
}

Result<FileListener> listen_on_file(const std::string& path, mode_t mode) {
  const auto listen = [&]() -> Result<FileListener> {
    TRY_ASSIGN(const sockaddr_un address, make_address(path));
    TRY_ASSIGN(const UniqueFd lock, lock_directory(path));
    TRY(remove_stale(path, address));
    return bind_file(path, address, mode);
  };
  auto listening = listen();
  if (!listening) {
    return std::unexpected(std::move(listening).error().prefixed("cannot listen on unix:" + path));
  }
  return listening;
}

} // namespace pkc::http
