// The contract of FileSystem, over the real one and the one tests use, so that what the fault tests
// prove holds on disk.
#include "support/fault_file_system.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/file_system.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

using pkc::as_bytes;
using pkc::Errc;
using pkc::FileSystem;

namespace {

std::string read_back(FileSystem& files, const std::string& path) {
  const auto file = files.open(path);
  REQUIRE(file);
  REQUIRE(*file);
  std::string text(100, '\0');
  text.resize((*file)->read_at(0, std::as_writable_bytes(std::span(text))).value());
  return text;
}

void write_new(FileSystem& files, const std::string& path, std::string_view text) {
  const auto file = files.create(path);
  REQUIRE(file);
  REQUIRE((*file)->write(as_bytes(text)));
}

void check_contract(FileSystem& files, const std::string& root) {
  SUBCASE("open: a missing name, a name below a file and a directory are absent") {
    write_new(files, root + "/file", "x");
    CHECK(files.open(root + "/nothing").value() == nullptr);
    CHECK(files.open(root).value() == nullptr);
  }
  SUBCASE("create: an existing name is an error") {
    write_new(files, root + "/file", "x");
    CHECK_FALSE(files.create(root + "/file"));
  }
  SUBCASE("write: appends; read_at gives less only at the end") {
    write_new(files, root + "/file", "hello ");
    const auto file = files.open(root + "/file").value();
    std::string part(3, '\0');
    CHECK(file->read_at(4, std::as_writable_bytes(std::span(part))).value() == 2);
    CHECK(part.substr(0, 2) == "o ");
    CHECK(file->read_at(6, std::as_writable_bytes(std::span(part))).value() == 0);
    CHECK(file->opened_stat().size == 6);
  }
  SUBCASE("rename: replaces the target and changes its identity") {
    write_new(files, root + "/a", "new");
    write_new(files, root + "/b", "old");
    const auto before = files.stat(root + "/b").value();
    REQUIRE(files.rename(root + "/a", root + "/b"));
    CHECK(read_back(files, root + "/b") == "new");
    CHECK(files.stat(root + "/b").value() != before);
    CHECK_FALSE(files.stat(root + "/a").value());
  }
  SUBCASE("rename: an open file stays readable after its name is replaced") {
    write_new(files, root + "/a", "new");
    write_new(files, root + "/b", "old");
    const auto old = files.open(root + "/b").value();
    REQUIRE(files.rename(root + "/a", root + "/b"));
    std::string text(3, '\0');
    REQUIRE(old->read_at(0, std::as_writable_bytes(std::span(text))).value() == 3);
    CHECK(text == "old");
  }
  SUBCASE("remove: says whether there was something") {
    write_new(files, root + "/a", "x");
    CHECK(files.remove(root + "/a").value());
    CHECK_FALSE(files.remove(root + "/a").value());
  }
  SUBCASE("make_directory: says whether it is new; a file in the way is an error") {
    CHECK(files.make_directory(root + "/d").value());
    CHECK_FALSE(files.make_directory(root + "/d").value());
    write_new(files, root + "/f", "x");
    CHECK_FALSE(files.make_directory(root + "/f"));
    CHECK_FALSE(files.make_directory(root + "/missing/d"));
  }
  SUBCASE("list: every entry with its kind, and nothing for a missing directory") {
    REQUIRE(files.make_directory(root + "/d"));
    REQUIRE(files.make_directory(root + "/d/sub"));
    write_new(files, root + "/d/file", "x");
    auto entries = files.list(root + "/d").value().value();
    std::ranges::sort(entries, {}, &pkc::DirectoryEntry::name);
    REQUIRE(entries.size() == 2);
    CHECK(entries[0].name == "file");
    CHECK_FALSE(entries[0].is_directory);
    CHECK(entries[1].name == "sub");
    CHECK(entries[1].is_directory);
    CHECK_FALSE(files.list(root + "/nothing").value());
  }
  SUBCASE("try_lock: one holder at a time") {
    auto first = files.try_lock(root + "/lock").value();
    REQUIRE(first);
    CHECK(files.try_lock(root + "/lock").value() == nullptr);
    first.reset();
    CHECK(files.try_lock(root + "/lock").value() != nullptr);
  }
  SUBCASE("sync: works on files and directories") {
    const auto file = files.create(root + "/file").value();
    CHECK(file->sync());
    CHECK(files.sync_directory(root));
    CHECK_FALSE(files.sync_directory(root + "/nothing"));
  }
}

} // namespace

TEST_SUITE("base::FileSystem") {
  TEST_CASE("join_lock: holds on when the first holder goes, and is only for the lock's own file") {
    const pkc::test::TempDir dir;
    pkc::FileSystem& files = pkc::posix_file_system();
    auto first = files.try_lock(dir / "lock").value();
    const auto inherited = [&] { return pkc::UniqueFd(::dup(first->descriptor())); };

    CHECK(files.join_lock(dir / "absent", inherited()).value() == nullptr);
    CHECK(files.join_lock(dir / "lock", pkc::UniqueFd(::open("/dev/null", O_RDONLY))).value() ==
          nullptr);
    auto second = files.join_lock(dir / "lock", inherited()).value();
    REQUIRE(second);
    first.reset();
    CHECK(files.try_lock(dir / "lock").value() == nullptr);
    second.reset();
    CHECK(files.try_lock(dir / "lock").value() != nullptr);
  }

  TEST_CASE("the real file system keeps the contract") {
    const pkc::test::TempDir dir;
    check_contract(pkc::posix_file_system(), dir.path());
  }

  TEST_CASE("the file system of the fault tests keeps the same contract") {
    pkc::test::FaultFileSystem files;
    REQUIRE(files.make_directory("/root"));
    check_contract(files, "/root");
  }
}

TEST_SUITE("base::posix_file_system") {
  TEST_CASE(
      "open: a symbolic link, a fifo and a name below a file are absent, and nothing blocks") {
    const pkc::test::TempDir dir;
    FileSystem& files = pkc::posix_file_system();
    write_new(files, dir / "file", "x");
    std::filesystem::create_symlink(dir / "file", dir / "link");
    REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
    CHECK(files.open(dir / "link").value() == nullptr);
    CHECK(files.open(dir / "fifo").value() == nullptr);
    CHECK(files.open(dir / "file/below").value() == nullptr);
  }

  TEST_CASE("stat: an in-place change moves the identity") {
    const pkc::test::TempDir dir;
    FileSystem& files = pkc::posix_file_system();
    write_new(files, dir / "file", "good");
    const auto before = files.stat(dir / "file").value();
    std::filesystem::last_write_time(dir / "file", std::filesystem::file_time_type{});
    CHECK(files.stat(dir / "file").value() != before);
  }

  TEST_CASE("make_directory: a symbolic link to a directory counts as one") {
    const pkc::test::TempDir dir;
    REQUIRE(pkc::posix_file_system().make_directory(dir / "real"));
    std::filesystem::create_directory_symlink(dir / "real", dir / "link");
    CHECK_FALSE(pkc::posix_file_system().make_directory(dir / "link").value());
  }

  TEST_CASE("write: a full device is no_space") {
    if (::access("/dev/full", W_OK) != 0) {
      MESSAGE("no /dev/full here");
      return;
    }
    const pkc::test::TempDir dir;
    std::filesystem::create_symlink("/dev/full", dir / "full");
    const auto file = pkc::posix_file_system().try_lock(dir / "full"); // opens for writing
    REQUIRE(file);
    const auto written = (*file)->write(as_bytes("x"));
    REQUIRE_FALSE(written);
    CHECK(written.error().code == Errc::no_space);
  }
}
