#include "processes.hpp"

#include "environment.hpp"
#include "handover.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/unique_handle.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <filesystem>
#include <functional>
#include <system_error>

namespace pkc::app {

namespace {

/// Files of /proc tell no size, so they are read to their end; this is a limit, not a size.
constexpr std::size_t kTextMax = 16 * kMiB;

std::string read_text(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 16 * kKiB> buffer{};
  while (fd && text.size() < kTextMax) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count <= 0) {
      break;
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t end = text.find(separator);
    if (end != 0) {
      parts.push_back(text.substr(0, end));
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

template <typename Number>
std::optional<Number> parse_hex(std::string_view text) {
  Number number{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  const bool whole = error == std::errc{} && rest == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

/// "08:01:1234": device in hexadecimal, inode in decimal.
bool names_file(std::string_view word, const LockedFile& file) {
  const auto parts = split(word, ':');
  return parts.size() == 3 && parse_hex<unsigned>(parts[0]) == file.device_major &&
         parse_hex<unsigned>(parts[1]) == file.device_minor &&
         parse_decimal<std::uint64_t>(parts[2]) == file.inode;
}

/// The device of the mount that an open file is on. It is the one in /proc/locks, and not always
/// that of stat(): btrfs gives each subvolume a number of its own.
std::optional<LockedFile> locked_file(int descriptor, std::uint64_t inode) {
  const std::string info = read_text("/proc/self/fdinfo/" + std::to_string(descriptor));
  std::string_view mount;
  for (const std::string_view line : split(info, '\n')) {
    if (line.starts_with("mnt_id:")) {
      const auto words = split(line.substr(line.find(':') + 1), '\t');
      mount = words.empty() ? std::string_view() : words.front();
    }
  }
  const std::string mounts = read_text("/proc/self/mountinfo");
  for (const std::string_view line : split(mounts, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() > 2 && words[0] == mount) {
      const auto numbers = split(words[2], ':');
      const auto device_major = parse_decimal<unsigned>(numbers.front());
      const auto device_minor = parse_decimal<unsigned>(numbers.back());
      if (device_major && device_minor) {
        return LockedFile{*device_major, *device_minor, inode};
      }
    }
  }
  return std::nullopt;
}

/// A question about locks of the other kind, which is what a lock is on a network file system.
/// Nobody notices it.
bool is_locked_over_network(int descriptor) {
  struct flock question{};
  question.l_type = F_WRLCK;
  question.l_whence = SEEK_SET;
  return ::fcntl(descriptor, F_OFD_GETLK, &question) == 0 && question.l_type != F_UNLCK;
}

/// Calls visit(process) for each process that is visible.
void for_each_process(const std::function<void(pid_t)>& visit) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    if (const auto process = parse_decimal<pid_t>(entry->path().filename().string())) {
      visit(*process);
    }
  }
}

/// Calls visit(status) for what each descriptor of a process is open on for writing, if we may
/// look. Another doctor that looks at a lock has it open for reading only.
void for_each_open_file(pid_t process, const std::function<void(const struct stat&)>& visit) {
  std::error_code error;
  const std::string folder = "/proc/" + std::to_string(process) + "/fd";
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    struct stat link{}; // its permission bits tell how the file is open
    struct stat status{};
    if (::lstat(entry->path().c_str(), &link) == 0 && (link.st_mode & S_IWUSR) != 0 &&
        ::stat(entry->path().c_str(), &status) == 0) {
      visit(status);
    }
  }
}

/// A process other than this one that has the file open for writing; 0 when none is visible.
pid_t process_with(const struct stat& file) {
  pid_t found = 0;
  for_each_process([&](pid_t process) {
    if (found != 0 || process == ::getpid()) {
      return;
    }
    for_each_open_file(process, [&](const struct stat& open) {
      if (open.st_dev == file.st_dev && open.st_ino == file.st_ino) {
        found = process;
      }
    });
  });
  return found;
}

} // namespace

std::optional<pid_t> flock_holder(std::string_view locks, const LockedFile& file) {
  // "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF"; who waits has "->" behind the number.
  constexpr std::size_t kWords = 8;
  for (const std::string_view line : split(locks, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == kWords && words[1] == "FLOCK" && names_file(words[5], file)) {
      return parse_decimal<pid_t>(words[4]);
    }
  }
  return std::nullopt;
}

std::set<std::uint64_t> listening_sockets(std::string_view table, std::uint16_t port) {
  // "0: 0100007F:1F90 00000000:0000 0A … inode …": 0A is LISTEN, the inode is the tenth word.
  constexpr std::size_t kInode = 9;
  std::set<std::uint64_t> sockets;
  for (const std::string_view line : split(table, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() <= kInode || words[3] != "0A") {
      continue;
    }
    const std::string_view local = words[1].substr(words[1].rfind(':') + 1);
    const auto inode = parse_decimal<std::uint64_t>(words[kInode]);
    if (parse_hex<std::uint16_t>(local) == port && inode) {
      sockets.insert(*inode);
    }
  }
  return sockets;
}

std::optional<RunningServer> find_server(const std::string& storage_dir) {
  const std::string path = storage_dir + "/lock";
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  // The lock of another user's server can be looked up, though not opened for writing.
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  // In a chroot the mount is not among those that can be seen; then this number has to do.
  const LockedFile by_status{::major(status.st_dev), ::minor(status.st_dev), status.st_ino};
  const auto by_mount = fd ? locked_file(fd.get(), status.st_ino) : std::nullopt;
  const auto holder = flock_holder(read_text("/proc/locks"), by_mount.value_or(by_status));
  const bool over_network = fd && is_locked_over_network(fd.get());
  const pid_t opener = process_with(status);
  if (!holder && !over_network && opener == 0) {
    return std::nullopt;
  }
  // After a hand-over the kernel still names the process that took the lock first.
  const bool lives = holder && *holder > 0 && process_lives(*holder);
  return RunningServer{opener != 0 ? opener : (lives ? *holder : 0)};
}

std::vector<PortOwner> find_port_owners(std::uint16_t port) {
  std::set<std::uint64_t> sockets = listening_sockets(read_text("/proc/net/tcp"), port);
  sockets.merge(listening_sockets(read_text("/proc/net/tcp6"), port));
  std::vector<PortOwner> owners;
  for_each_process([&](pid_t process) {
    bool owns = false;
    for_each_open_file(process, [&](const struct stat& open) {
      owns = owns || (S_ISSOCK(open.st_mode) && sockets.contains(open.st_ino));
    });
    if (owns) {
      const std::string name = read_text("/proc/" + std::to_string(process) + "/comm");
      owners.push_back({process, name.substr(0, name.find('\n'))});
    }
  });
  return owners;
}

} // namespace pkc::app
