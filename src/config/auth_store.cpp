// The auth file on the disk.
#include "quote.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/config/auth_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <expected>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::config {
namespace {

/// A file that was read, and whose it is.
struct Loaded {
  ConfigFile file;
  struct stat owner{};
};

std::unexpected<Problems> one_problem(const std::string& path, const std::string& problem) {
  return std::unexpected(Problems{printable(path) + ": " + problem});
}

/// One byte more than allowed at most, so that whoever parses it sees that it is too large.
Result<std::string> read_text(File& file) {
  std::string text(kConfigFileSizeMax + 1, '\0');
  TRY_ASSIGN(const std::size_t count, file.read_at(0, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

/// Null when there is no such file.
std::expected<std::unique_ptr<Loaded>, Problems> load(const std::string& path,
                                                      FileSystem& file_system) {
  const auto file = file_system.open(follow_links(path));
  if (!file) {
    return one_problem(path, "cannot be read: " + file.error().message);
  }
  if (*file == nullptr) {
    return nullptr;
  }
  auto loaded = std::make_unique<Loaded>();
  if (::fstat((*file)->descriptor(), &loaded->owner) != 0) {
    return one_problem(path, "cannot be read: " + fail_errno(errno, "fstat").error().message);
  }
  if ((loaded->owner.st_mode & S_IWOTH) != 0) {
    return one_problem(path, "everybody may write to it, and so make tokens: chmod o-w");
  }
  auto text = read_text(**file);
  if (!text) {
    return one_problem(path, "cannot be read: " + text.error().message);
  }
  loaded->file = {.path = path, .text = *std::move(text)};
  return loaded;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

/// Waits until no other edit of a file in the directory is under way. The lock is on the directory
/// and not on the file, as that is another one after each edit.
Result<UniqueFd> lock_directory(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) {
    return fail_errno(errno, "open " + path);
  }
  while (::flock(directory.get(), LOCK_EX) != 0) {
    if (const int error_number = errno; error_number != EINTR) {
      return fail_errno(error_number, "flock " + path);
    }
  }
  return directory;
}

/// Owner, group and mode of `model`; only we may read a new file.
Result<void> own(const File& file, const struct stat* model) {
  constexpr mode_t kPermissions = 07777;
  const int descriptor = file.descriptor();
  struct stat ours{};
  if (::fstat(descriptor, &ours) != 0) {
    return fail_errno(errno, "fstat");
  }
  const bool differs =
      model != nullptr && (ours.st_uid != model->st_uid || ours.st_gid != model->st_gid);
  if (differs && ::fchown(descriptor, model->st_uid, model->st_gid) != 0) {
    return fail_errno(errno, "its owner cannot be kept");
  }
  const mode_t mode = model == nullptr ? S_IRUSR | S_IWUSR : model->st_mode & kPermissions;
  return ::fchmod(descriptor, mode) == 0 ? Result<void>{} : fail_errno(errno, "chmod");
}

Result<void> write_new(const std::string& path,
                       std::string_view text,
                       const struct stat* model,
                       FileSystem& file_system) {
  TRY(file_system.remove(path)); // of an edit that was killed; the lock is ours
  TRY_ASSIGN(const auto file, file_system.create(path));
  TRY(own(*file, model)); // before there is anything in it
  TRY(file->write(as_bytes(text)));
  return file->sync();
}

Result<void> replace(const std::string& path,
                     std::string_view text,
                     const struct stat* model,
                     FileSystem& file_system) {
  const std::string temporary = path + ".new";
  auto written = write_new(temporary, text, model, file_system);
  if (written) {
    written = file_system.rename(temporary, path);
  }
  if (!written) {
    // Where even that fails, the next edit does it.
    [[maybe_unused]] const auto removed = file_system.remove(temporary);
    return written;
  }
  return file_system.sync_directory(directory_of(path));
}

} // namespace

std::expected<AuthFile, Problems> load_auth_file(const std::string& path, FileSystem& file_system) {
  const auto loaded = load(path, file_system);
  if (!loaded) {
    return std::unexpected(loaded.error());
  }
  return *loaded
             ? parse_auth_file((*loaded)->file)
             : one_problem(path, "there is no such file; `polykit-cache token create` makes it");
}

std::expected<void, Problems> edit_auth_file(const std::string& path,
                                             Absent absent,
                                             FileSystem& file_system,
                                             const AuthEdit& edit) {
  const std::string target = follow_links(path);
  const auto lock = lock_directory(directory_of(target));
  if (!lock) {
    return one_problem(path, "cannot be edited: " + lock.error().message);
  }
  const auto found = load(path, file_system);
  if (!found) {
    return std::unexpected(found.error());
  }
  const Loaded* const loaded = found->get();
  if (loaded == nullptr && absent == Absent::is_problem) {
    return one_problem(path, "there is no such file");
  }
  const auto text = edit(loaded != nullptr ? loaded->file : ConfigFile{.path = path, .text = {}});
  if (!text) {
    return std::unexpected(text.error());
  }
  const auto replaced =
      replace(target, *text, loaded != nullptr ? &loaded->owner : nullptr, file_system);
  return replaced ? std::expected<void, Problems>{}
                  : one_problem(path, "cannot be edited: " + replaced.error().message);
}

} // namespace pkc::config
