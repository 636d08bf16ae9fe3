// Two real processes with one directory, as during a hand-over, upload under the same keys at the
// same moments while both read them. Of each key one upload is acknowledged, and what lies on disk
// is that upload's blob with that upload's sidecar.
#include "support/store_fixture.hpp"
#include "support/temp_dir.hpp"

#include "pkc/base/digest.hpp"
#include "pkc/blob/disk.hpp"
#include "pkc/locks/key_locks.hpp"
#include "pkc/locks/lock_file.hpp"
#include "pkc/store/content_store.hpp"

#include <doctest/doctest.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace {

using pkc::Result;
using pkc::UniqueFd;
using pkc::locks::KeyLocks;
using pkc::locks::LockFile;
using pkc::store::CommitOutcome;
using pkc::store::Key;
using pkc::test::TempDir;

constexpr std::size_t kProcesses = 2;
constexpr std::size_t kKeys = 1'000;

/// What each process saw, in memory that they share.
struct Board {
  std::atomic<std::size_t> arrived{0}; ///< at the gates of all keys so far
  std::array<std::array<std::atomic<bool>, kKeys>, kProcesses> stored{};
  std::array<std::atomic<std::size_t>, kProcesses> wrong_reads{};
};

struct Unmap {
  void operator()(Board* board) const { ::munmap(board, sizeof(Board)); }
};

std::unique_ptr<Board, Unmap> make_board() {
  void* const memory =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  return std::unique_ptr<Board, Unmap>(new (memory) Board());
}

Key key_of(std::size_t number) {
  return pkc::test::make_key('a', std::to_string(1'000'000 + number));
}

/// Of the same size in each process, so that only the digest tells a mixed pair.
std::string content_of(std::size_t process, std::size_t number) {
  return "by " + std::to_string(process) + ": " + std::to_string(1'000'000 + number);
}

std::string path_of(const TempDir& directory, const Key& key, std::string_view suffix) {
  const std::string& id = key.id();
  return directory / (id.substr(0, 2) + '/' + id.substr(2, 2) + '/' + id + std::string(suffix));
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Every third key holds what a crash may leave, so that its writer has to replace it: a blob whose
/// sidecar is torn, or the pair of a blob that has rotted.
void poison(const TempDir& directory) {
  for (std::size_t number = 0; number < kKeys; number += 3) {
    const Key key = key_of(number);
    const std::string blob = path_of(directory, key, ".zst");
    std::filesystem::create_directories(std::filesystem::path(blob).parent_path());
    std::ofstream(blob) << content_of(7, number);
    const pkc::store::Sidecar sidecar{.hash = pkc::sha256(pkc::as_bytes("other")),
                                      .size = content_of(7, number).size(),
                                      .created_at = 1,
                                      .key = key.id(),
                                      .stored_at = std::nullopt};
    std::ofstream(path_of(directory, key, ".json"))
        << (number % 2 == 0 ? "{\"hash\":" : pkc::store::format_sidecar(sidecar));
  }
}

/// One of the processes: a store like the server's.
class Process {
 public:
  Process(const TempDir& directory, std::size_t number, int lock, Board& board)
      : number_(number),
        board_(board),
        key_lock_file_(LockFile::open(directory / std::string(pkc::blob::kKeyLockFile)).value()),
        key_locks_(&key_lock_file_),
        backend_(pkc::blob::make_disk_backend(pkc::posix_file_system(),
                                              {.root = directory.path(),
                                               .durability = pkc::blob::Durability::none,
                                               .process = ::getpid(),
                                               .inherited_lock = UniqueFd(::dup(lock))})
                     .value()),
        store_(pkc::store::make_content_store(
            *backend_, clock_, pkc::ops::null_log(), metrics_, {.key_locks = &key_locks_})) {}

  void run() {
    std::atomic<std::size_t> current{0};
    const std::jthread reader([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        read(current);
      }
    });
    for (std::size_t number = 0; number < kKeys; ++number) {
      current = number;
      auto writer = store_->put(key_of(number)).value();
      writer->write(pkc::as_bytes(content_of(number_, number))).value();
      const std::size_t gate = kProcesses * (number + 1);
      ++board_.arrived;
      while (board_.arrived < gate) {
        std::this_thread::yield();
      }
      const auto outcome = writer->commit({.created_at = 1}).value();
      board_.stored.at(number_).at(number) = outcome == CommitOutcome::stored;
    }
  }

 private:
  void read(std::size_t number) {
    const auto object = store_->open(key_of(number)).value();
    if (!object) {
      return;
    }
    std::string content(object->sidecar->size, '\0');
    object->file->read_at(0, std::as_writable_bytes(std::span(content))).value();
    if (content != content_of(0, number) && content != content_of(1, number)) {
      ++board_.wrong_reads.at(number_);
    }
  }

  const std::size_t number_;
  Board& board_;
  pkc::test::FakeClock clock_;
  pkc::ops::Metrics metrics_;
  LockFile key_lock_file_;
  KeyLocks key_locks_;
  std::unique_ptr<pkc::blob::Backend> backend_;
  std::unique_ptr<pkc::store::ContentStore> store_;
};

} // namespace

TEST_SUITE("store::ContentStore of two processes") {
  TEST_CASE("put: each key is stored by one of them, as a whole, also where a bad one lay") {
    const TempDir directory;
    const auto board = make_board();
    poison(directory);
    const auto lock = pkc::posix_file_system().try_lock(directory / "lock").value();
    std::array<pid_t, kProcesses> children{};
    for (std::size_t number = 0; number < kProcesses; ++number) {
      children.at(number) = ::fork();
      if (children.at(number) == 0) {
        try {
          Process(directory, number, lock->descriptor(), *board).run();
          ::_exit(EXIT_SUCCESS);
        } catch (...) { // of value(): the parent sees the status
          ::_exit(EXIT_FAILURE);
        }
      }
    }
    for (const pid_t child : children) {
      int status = 0;
      REQUIRE(::waitpid(child, &status, 0) == child);
      REQUIRE(status == 0);
    }

    std::array<std::size_t, kProcesses> wins{};
    for (std::size_t number = 0; number < kKeys; ++number) {
      CAPTURE(number);
      const Key key = key_of(number);
      const bool first = board->stored[0].at(number);
      CHECK(first != board->stored[1].at(number));
      ++wins.at(first ? 0 : 1);
      const std::string blob = read_file(path_of(directory, key, ".zst"));
      CHECK(blob == content_of(first ? 0 : 1, number));
      const auto sidecar =
          pkc::store::parse_sidecar(read_file(path_of(directory, key, ".json"))).value();
      CHECK(sidecar.hash == pkc::sha256(pkc::as_bytes(blob)));
    }
    CHECK((wins[0] > 0 && wins[1] > 0)); // else they did not meet
    CHECK(board->wrong_reads[0] + board->wrong_reads[1] == 0);
    CHECK(std::filesystem::is_empty(directory / "tmp"));
  }
}
