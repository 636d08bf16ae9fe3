// FaultFileSystem: a file system in memory whose n-th call fails, and that forgets what was not
// synced.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/base/guarded.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace pkc::test {

/// Models what a disk keeps. Each file has bytes and synced bytes, each directory has names and
/// synced names, exactly as FileSystem's contract describes them: a name reaches the disk for
/// certain with sync_directory(), content with sync(). Thread-safe. Files opened before a crash
/// belong to the process that died: their calls fail afterwards.
class FaultFileSystem final : public FileSystem {
 public:
  FaultFileSystem();

  /// From now on the `n`-th call (0: the next one) fails with `code`; all others work. Nothing:
  /// none fails.
  void fail_call(std::optional<std::uint64_t> n, Errc code = Errc::io);
  /// As fail_call, but from the n-th call on everything fails, as when the process is killed there.
  void stop_at_call(std::uint64_t n);
  /// Calls made since the last of the two above.
  [[nodiscard]] std::uint64_t calls();

  /// The process dies and is started again: content and names stay as they were, locks are
  /// released, no call fails.
  void restart_process();
  /// The power fails and the machine starts again: every name and every byte that was not synced is
  /// kept or lost by the toss of a coin of `seed`, each on its own.
  void lose_power(std::uint64_t seed);

  /// Every file below `path` with its content, by full path.
  [[nodiscard]] std::map<std::string, std::string> files(const std::string& path);
  void set_space(const DiskSpace& space);
  /// Replaces the content of a file in place, as rotting bits would.
  void overwrite(const std::string& path, std::string content);

  Result<std::unique_ptr<File>> open(const std::string& path) override;
  Result<std::unique_ptr<File>> create(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<bool> remove(const std::string& path) override;
  Result<std::optional<FileStat>> stat(const std::string& path) override;
  Result<bool> make_directory(const std::string& path) override;
  Result<std::optional<std::vector<DirectoryEntry>>> list(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  /// What set_space() said; at first, plenty. Files take nothing of it.
  Result<DiskSpace> space(const std::string& path) override;
  Result<std::unique_ptr<File>> try_lock(const std::string& path) override;
  /// Stands for the process that a holder of the lock started; `inherited` is not looked at.
  Result<std::unique_ptr<File>> join_lock(const std::string& path, UniqueFd inherited) override;

 private:
  friend class FaultFile;
  struct Node {
    std::uint64_t inode = 0;
    bool is_directory = false;
    std::string bytes;
    std::string synced_bytes;
    std::int64_t changed = 0; // counts changes; stands for mtime and ctime
    std::map<std::string, std::shared_ptr<Node>> names;
    std::map<std::string, std::shared_ptr<Node>> synced_names;
  };
  using NodePtr = std::shared_ptr<Node>;
  struct State {
    NodePtr root;
    std::uint64_t next_inode = 1;
    std::int64_t next_change = 1;
    std::uint64_t process = 0;
    std::uint64_t calls = 0;
    std::optional<std::uint64_t> failing;
    bool failing_on = false; // every call from `failing` on, not only that one
    Errc code = Errc::io;
    DiskSpace space{.size = 1000 * kGiB,
                    .available = 1000 * kGiB,
                    .files = 1'000'000'000,
                    .files_available = 1'000'000'000};
    std::multiset<std::string> locks; // one for each holder

    Result<void> count_call();
    NodePtr make_node(bool is_directory);
    [[nodiscard]] NodePtr find(const std::string& path) const;
    [[nodiscard]] NodePtr parent_of(const std::string& path) const;
    static FileStat stat_of(const Node& node);
  };

  static std::string name_of(const std::string& path);
  static void settle_after_power_loss(Node& node, std::mt19937_64& coin);

  Guarded<State> state_;
};

} // namespace pkc::test
