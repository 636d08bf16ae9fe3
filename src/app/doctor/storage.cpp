#include "checks.hpp"
#include "directory_contents.hpp"
#include "judgement.hpp"
#include "processes.hpp"
#include "write_trial.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>
#include <system_error>

namespace pkc::app {

namespace {

constexpr const char* kDirectory = "directory";

/// May this user, with the rights in force, do that?
bool may(const std::string& path, int rights) {
  return ::faccessat(AT_FDCWD, path.c_str(), rights, AT_EACCESS) == 0;
}

/// What advice names has to be right in every shell.
std::string absolute(const std::string& path) {
  std::error_code unknown;
  const auto name = std::filesystem::absolute(path, unknown).lexically_normal();
  return unknown ? path : name.string();
}

std::string mode_text(mode_t mode) {
  std::string text;
  for (unsigned digit = 4; digit-- > 0;) {
    text += static_cast<char>('0' + ((mode >> (3 * digit)) & 7U));
  }
  return text;
}

std::string described(const std::string& path, const struct stat& status) {
  return path + " belongs to " + user_name(status.st_uid) + ", mode " +
         mode_text(status.st_mode & 07777U);
}

std::string you() {
  return "you are " + user_name(::geteuid());
}

std::string parent_of(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  const std::size_t slash = end == std::string::npos ? 0 : path.rfind('/', end);
  if (slash == std::string::npos) {
    return ".";
  }
  const std::size_t last = path.find_last_not_of('/', slash);
  return last == std::string::npos ? "/" : path.substr(0, last + 1);
}

std::string advice_on_owner(const std::string& path) {
  return "as root: `chown -R USER " + path +
         "`, with the user that runs the server; or choose another --storage-dir";
}

/// The directory is not there: could the server make it? Returns what is there of its path.
std::optional<std::string> check_absent(const std::string& path, const FindingSink& sink) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) == 0) {
    sink({Verdict::problem,
          kDirectory,
          path + " is a link that leads nowhere",
          "make the directory that it leads to, or remove it"});
    return std::nullopt;
  }
  std::string above = parent_of(path);
  while (above != "/" && above != "." && ::stat(above.c_str(), &status) != 0 && errno == ENOENT) {
    above = parent_of(above);
  }
  if (::stat(above.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    sink({Verdict::problem,
          kDirectory,
          path + " cannot be made: " + above + " is no directory that can be used",
          "choose another --storage-dir"});
    return std::nullopt;
  }
  if (!may(above, W_OK | X_OK)) {
    const bool read_only = errno == EROFS;
    sink({Verdict::problem,
          kDirectory,
          path + " cannot be made: " +
              (read_only ? above + " is on a file system that is mounted read-only"
                         : described(above, status) + ", and " + you()),
          "as root: `install -d -o USER " + path +
              "`, with the user that runs the server; or choose another --storage-dir"});
    return std::nullopt;
  }
  sink({Verdict::ok,
        kDirectory,
        path + " does not exist yet; the server makes it when it starts",
        ""});
  return above;
}

void check_user(const struct stat& status, const FindingSink& sink) {
  if (::geteuid() != 0 || status.st_uid == 0) {
    return;
  }
  const std::string owner = user_name(status.st_uid);
  sink({Verdict::note,
        "user",
        "you are root, and the directory belongs to " + owner +
            ": root may do what the service may not",
        "ask as that user: `runuser -u " + owner +
            " -- polykit-cache doctor`, with the same flags"});
}

/// Whether there is a directory that this user can use.
bool check_directory(const std::string& path, const struct stat& status, const FindingSink& sink) {
  if (!S_ISDIR(status.st_mode)) {
    sink({Verdict::problem,
          kDirectory,
          path + " is no directory",
          "move it away, or choose another --storage-dir"});
    return false;
  }
  if (!may(path, R_OK | W_OK | X_OK) && errno != EROFS) {
    const std::string or_run =
        status.st_uid == 0 ? "" : "; or run the server, and this, as " + user_name(status.st_uid);
    sink({Verdict::problem,
          kDirectory,
          described(path, status) + ", and " + you() + ": it cannot be used",
          advice_on_owner(path) + or_run});
    return false;
  }
  sink({Verdict::ok, kDirectory, described(path, status), ""});
  check_user(status, sink);
  return true;
}

void check_server(const std::string& path, const FindingSink& sink, Facts& facts) {
  facts.server = find_server(path);
  if (!facts.server) {
    sink({Verdict::ok, "server", "no server is seen to use the directory", ""});
    return;
  }
  const std::string process =
      facts.server->process == 0 ? "" : ", process " + std::to_string(facts.server->process);
  sink({Verdict::ok, "server", "the server is running" + process, ""});
}

/// What lies in the directory already.
void check_contents(const std::string& path,
                    const struct stat& directory,
                    const FindingSink& sink) {
  const Contents contents = read_contents(path, directory.st_uid);
  if (!contents.unusable.empty()) {
    const bool by_root = ::geteuid() == 0;
    sink({by_root ? Verdict::warning : Verdict::problem,
          "contents",
          contents.unusable +
              (by_root ? " does not belong to the owner of the directory"
                       : " cannot be written by this user") +
              "; was the server run as another user once?",
          "as root: `chown -R --reference=" + path + " " + path + "`"});
  }
  if (!contents.in_the_way.empty()) {
    sink({Verdict::problem,
          "contents",
          contents.in_the_way + " is in the way of what the server has under that name",
          "move it away"});
  }
  if (!contents.foreign.empty()) {
    sink({Verdict::note,
          "contents",
          "the directory holds other things too (" + contents.foreign +
              "); the server leaves them alone",
          "give the server a directory of its own"});
  }
}

/// The file system below. Returns whether it can be written.
bool check_file_system(const std::string& path,
                       const config::Settings& settings,
                       const FindingSink& sink) {
  struct statfs kind{};
  struct statvfs room{};
  if (::statfs(path.c_str(), &kind) != 0 || ::statvfs(path.c_str(), &room) != 0) {
    sink({Verdict::warning,
          "file system",
          fail_errno(errno, "it does not tell about itself").error().message,
          ""});
    return true;
  }
  // 32 bits, and negative for some kinds where the type has a sign.
  sink(judge_file_system(static_cast<std::uint32_t>(kind.f_type)));
  if ((room.f_flag & ST_RDONLY) != 0) {
    sink({Verdict::problem,
          "file system",
          "it is mounted read-only",
          "mount it for writing, after a look at `dmesg`: the kernel does that to a disk with "
          "errors; in a systemd unit, name the directory in ReadWritePaths="});
    return false;
  }
  sink(judge_space({.total = room.f_blocks * room.f_frsize, .free = room.f_bavail * room.f_frsize},
                   settings.max_size));
  sink(judge_inodes({.total = room.f_files, .free = room.f_favail}));
  return true;
}

} // namespace

void check_storage(const config::Settings& settings, const FindingSink& sink, Facts& facts) {
  const std::string path = absolute(settings.storage_dir);
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    const int error_number = errno;
    if (error_number != ENOENT) {
      sink({Verdict::problem,
            kDirectory,
            fail_errno(error_number, path + " cannot be reached").error().message,
            "each directory above it must be one, and open (mode x) to the user that runs the "
            "server"});
    } else if (const auto above = check_absent(path, sink)) {
      check_file_system(*above, settings, sink);
    }
    return;
  }
  const bool usable = check_directory(path, status, sink);
  check_server(path, sink, facts); // also that of another user
  if (!usable) {
    return;
  }
  const bool writable = check_file_system(path, settings, sink);
  check_contents(path, status, sink);
  if (writable) {
    try_writing(path, sink);
  }
}

} // namespace pkc::app
