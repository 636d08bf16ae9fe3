// Two LockFiles of one path are what two processes have: the kernel tells owners of OFD locks apart
// by the open file, not by the process.
#include "support/temp_dir.hpp"

#include "pkc/base/unique_handle.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/locks/lock_file.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <latch>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using pkc::locks::KeyLocks;
using pkc::locks::LockFile;
using pkc::test::TempDir;

namespace {

LockFile open_file(const TempDir& directory) {
  return LockFile::open(directory / "keys").value();
}

/// Whether another process could have the byte for itself now.
bool free_for_a_writer(const std::string& path, std::uint64_t byte) {
  const pkc::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  struct flock question{};
  question.l_type = F_WRLCK;
  question.l_whence = SEEK_SET;
  question.l_start = static_cast<off_t>(byte);
  question.l_len = 1;
  REQUIRE(::fcntl(fd.get(), F_OFD_GETLK, &question) == 0);
  return question.l_type == F_UNLCK;
}

} // namespace

TEST_SUITE("locks::LockFile") {
  TEST_CASE("open: makes an empty file, and fails where there can be none") {
    const TempDir directory;

    const LockFile file = open_file(directory);

    CHECK(std::filesystem::file_size(directory / "keys") == 0);
    CHECK(LockFile::open(directory / "absent/keys").error().code == pkc::Errc::io);
  }

  TEST_CASE("lock: owners share a byte for reading, and have different bytes to themselves") {
    const TempDir directory;
    LockFile one = open_file(directory);
    LockFile other = open_file(directory);
    REQUIRE(one.lock(1, LockFile::Mode::shared));
    REQUIRE(one.lock(2, LockFile::Mode::exclusive));
    REQUIRE(one.lock(LockFile::kBytes - 1, LockFile::Mode::exclusive));

    CHECK(other.lock(1, LockFile::Mode::shared)); // would block for ever if it were in the way
    CHECK(other.lock(3, LockFile::Mode::exclusive));
    CHECK(other.lock(LockFile::kBytes - 2, LockFile::Mode::exclusive));
  }

  TEST_CASE("lock: waits for the other owner, until that lets go or closes the file") {
    const TempDir directory;
    for (const bool closes : {false, true}) {
      std::optional<LockFile> one(open_file(directory));
      LockFile other = open_file(directory);
      REQUIRE(one->lock(7, LockFile::Mode::exclusive));
      std::atomic<bool> released{false};
      bool in_time = false;
      {
        const std::jthread waiter([&] {
          REQUIRE(other.lock(7, LockFile::Mode::shared));
          in_time = released;
        });
        released = true;
        closes ? one.reset() : one->unlock(7);
      }
      CHECK(in_time);
    }
  }
}

TEST_SUITE("locks::KeyLocks with a file") {
  TEST_CASE("slot: is the one that every version of the server uses") {
    CHECK(KeyLocks::slot_of("") == (0xcbf29ce484222325 & (LockFile::kBytes - 1)));
    CHECK(KeyLocks::slot_of("a") == (0xaf63dc4c8601ec8c & (LockFile::kBytes - 1)));
    CHECK(KeyLocks::slot_of("foobar") == (0x85944171f73967e8 & (LockFile::kBytes - 1)));
  }

  TEST_CASE("acquire: readers of two processes hold a name together") {
    const TempDir directory;
    LockFile one_file = open_file(directory);
    LockFile other_file = open_file(directory);
    KeyLocks one(&one_file);
    KeyLocks other(&other_file);

    const auto first = one.acquire("a", KeyLocks::Mode::shared);
    const auto second = other.acquire("a", KeyLocks::Mode::shared);

    CHECK((first.has_value() && second.has_value()));
  }

  TEST_CASE("release: the file is unlocked by the last reader and not before") {
    const TempDir directory;
    LockFile file = open_file(directory);
    KeyLocks locks(&file);
    auto first = locks.acquire("a", KeyLocks::Mode::shared);
    auto second = locks.acquire("a", KeyLocks::Mode::shared);
    const std::uint64_t slot = KeyLocks::slot_of("a");

    first->reset();
    CHECK_FALSE(free_for_a_writer(directory / "keys", slot));
    second->reset();
    CHECK(free_for_a_writer(directory / "keys", slot));
  }

  TEST_CASE("acquire: writers of two processes exclude each other and all readers of a name") {
    constexpr unsigned kThreads = 8; // half of them of each process
    constexpr unsigned kRounds = 300;
    constexpr std::array<std::string_view, 2> kNames{"a", "b"};
    const TempDir directory;
    std::array<LockFile, 2> files{open_file(directory), open_file(directory)};
    std::array<KeyLocks, 2> locks{KeyLocks(&files[0]), KeyLocks(&files[1])};
    struct Seen {
      std::atomic<int> writers{0};
      std::atomic<int> readers{0};
    };
    std::array<Seen, kNames.size()> seen;
    std::atomic<int> violations{0};
    {
      std::latch start(kThreads);
      std::vector<std::jthread> threads;
      threads.reserve(kThreads);
      for (unsigned thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          start.arrive_and_wait();
          for (unsigned round = 0; round < kRounds; ++round) {
            const unsigned name = (round / 3) % kNames.size();
            const bool reads = (round + thread) % 3 != 0;
            const auto held =
                locks.at(thread % 2)
                    .acquire(kNames.at(name),
                             reads ? KeyLocks::Mode::shared : KeyLocks::Mode::exclusive);
            Seen& at = seen.at(name);
            if (reads) {
              ++at.readers;
              violations += at.writers > 0 ? 1 : 0;
              --at.readers;
            } else {
              violations += ++at.writers > 1 || at.readers > 0 ? 1 : 0;
              --at.writers;
            }
          }
        });
      }
    }
    CHECK(violations == 0);
  }
}
