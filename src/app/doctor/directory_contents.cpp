#include "directory_contents.hpp"

#include "storage.hpp"

#include "pkc/blob/disk.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <filesystem>
#include <string_view>
#include <system_error>

namespace pkc::app {

namespace {

/// More than the 3,844 first halves that keys may have would be no directory of ours.
constexpr std::size_t kEntriesMax = 5000;
constexpr std::size_t kForeignNamed = 3;

/// What the server has under a name of the top level.
enum class Role : std::uint8_t {
  directory,
  file,
  foreign,
};

Role role_of(std::string_view name) {
  const auto is_digit = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (name == "tmp" || name == "quarantine" || name == kContentSpace || name == kFetchSpace ||
      (name.size() == 2 && std::ranges::all_of(name, is_digit))) {
    return Role::directory;
  }
  // The index has files of its database beside it, and what it has moved aside.
  const bool is_file = name == blob::kLockFile || name == blob::kKeyLockFile ||
                       name == blob::kScrubFile || name == blob::kTokenUsageFile ||
                       name.starts_with("index.db");
  return is_file ? Role::file : Role::foreign;
}

bool is_usable(const std::string& path, const struct stat& status, uid_t owner) {
  if (::geteuid() == 0) {
    return status.st_uid == owner;
  }
  const int rights = R_OK | W_OK | (S_ISDIR(status.st_mode) ? X_OK : 0);
  return ::faccessat(AT_FDCWD, path.c_str(), rights, AT_EACCESS) == 0;
}

void take(const std::string& path, const std::string& name, uid_t owner, Contents& contents) {
  const Role role = role_of(name);
  struct stat status{};
  if (role == Role::foreign || ::stat(path.c_str(), &status) != 0) {
    return;
  }
  if (S_ISDIR(status.st_mode) != (role == Role::directory)) {
    contents.in_the_way = path;
  } else if (!is_usable(path, status, owner)) {
    contents.unusable = path;
  }
}

} // namespace

Contents read_contents(const std::string& directory, uid_t owner) {
  Contents contents;
  std::error_code error;
  std::size_t looked_at = 0;
  std::size_t foreign = 0;
  for (std::filesystem::directory_iterator entry(directory, error), end;
       !error && entry != end && looked_at < kEntriesMax;
       entry.increment(error), ++looked_at) {
    const std::string name = entry->path().filename().string();
    // Of a disk of its own, and of another doctor.
    const bool is_known = name == "lost+found" || name.starts_with(".polykit-cache-doctor-");
    if (role_of(name) == Role::foreign && !is_known) {
      ++foreign;
      if (foreign <= kForeignNamed) {
        contents.foreign.append(contents.foreign.empty() ? "" : ", ").append(name);
      }
    }
    take(entry->path().string(), name, owner, contents);
  }
  if (foreign > kForeignNamed) {
    contents.foreign += " and more";
  }
  return contents;
}

} // namespace pkc::app
