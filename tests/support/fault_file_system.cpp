#include "support/fault_file_system.hpp"

#include <algorithm>
#include <utility>

namespace pkc::test {

/// An open file of one process; its calls count and fail like all others.
class FaultFile final : public File {
 public:
  FaultFile(FaultFileSystem& owner,
            std::shared_ptr<FaultFileSystem::Node> node,
            std::uint64_t process,
            std::string lock = {})
      : owner_(owner),
        node_(std::move(node)),
        opened_(FaultFileSystem::State::stat_of(*node_)),
        process_(process),
        lock_(std::move(lock)) {}
  FaultFile(const FaultFile&) = delete;
  FaultFile& operator=(const FaultFile&) = delete;
  FaultFile(FaultFile&&) = delete;
  FaultFile& operator=(FaultFile&&) = delete;
  ~FaultFile() override {
    auto state = owner_.state_.lock();
    if (!lock_.empty() && state->process == process_) {
      state->locks.erase(state->locks.find(lock_));
    }
  }

  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override {
    auto state = owner_.state_.lock();
    TRY(begin(*state));
    const std::string& bytes = node_->bytes;
    if (offset >= bytes.size()) {
      return 0;
    }
    const std::size_t count = std::min<std::size_t>(buffer.size(), bytes.size() - offset);
    std::ranges::copy(as_bytes(std::string_view(bytes).substr(offset, count)), buffer.begin());
    return count;
  }

  Result<void> write(ByteSpan bytes) override {
    auto state = owner_.state_.lock();
    if (auto allowed = begin(*state); !allowed) {
      // A write that fails may have been done in part.
      node_->bytes += as_text(bytes.first(bytes.size() / 2));
      return allowed;
    }
    node_->bytes += as_text(bytes);
    node_->changed = state->next_change++;
    return {};
  }

  void begin_sync() override {}

  Result<void> sync() override {
    auto state = owner_.state_.lock();
    TRY(begin(*state));
    node_->synced_bytes = node_->bytes;
    return {};
  }

  [[nodiscard]] FileStat opened_stat() const override { return opened_; }

  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  Result<void> begin(FaultFileSystem::State& state) const {
    if (state.process != process_) {
      return fail(Errc::io, "the process that opened this file is dead");
    }
    return state.count_call();
  }

  FaultFileSystem& owner_;
  std::shared_ptr<FaultFileSystem::Node> node_;
  FileStat opened_;
  std::uint64_t process_;
  std::string lock_;
};

Result<void> FaultFileSystem::State::count_call() {
  const std::uint64_t call = calls++;
  if (failing && (call == *failing || (failing_on && call > *failing))) {
    return fail(code, "injected failure of call " + std::to_string(call));
  }
  return {};
}

FaultFileSystem::NodePtr FaultFileSystem::State::make_node(bool is_directory) {
  auto node = std::make_shared<Node>();
  node->inode = next_inode++;
  node->is_directory = is_directory;
  node->changed = next_change++;
  return node;
}

FaultFileSystem::NodePtr FaultFileSystem::State::find(const std::string& path) const {
  NodePtr node = root;
  std::size_t at = 0;
  while (node != nullptr && at < path.size()) {
    if (path[at] == '/') {
      ++at;
      continue;
    }
    const std::size_t end = std::min(path.find('/', at), path.size());
    const auto found = node->names.find(path.substr(at, end - at));
    node = found == node->names.end() ? nullptr : found->second;
    at = end;
  }
  return node;
}

FaultFileSystem::NodePtr FaultFileSystem::State::parent_of(const std::string& path) const {
  return find(path.substr(0, path.rfind('/')));
}

FileStat FaultFileSystem::State::stat_of(const Node& node) {
  return FileStat{.is_directory = node.is_directory,
                  .size = node.bytes.size(),
                  .inode = node.inode,
                  .mtime_ns = node.changed,
                  .ctime_ns = node.changed};
}

FaultFileSystem::FaultFileSystem() {
  auto state = state_.lock();
  state->root = state->make_node(true);
}

std::string FaultFileSystem::name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

void FaultFileSystem::fail_call(std::optional<std::uint64_t> n, Errc code) {
  auto state = state_.lock();
  state->calls = 0;
  state->failing = n;
  state->failing_on = false;
  state->code = code;
}

void FaultFileSystem::stop_at_call(std::uint64_t n) {
  fail_call(n);
  state_.lock()->failing_on = true;
}

std::uint64_t FaultFileSystem::calls() {
  return state_.lock()->calls;
}

void FaultFileSystem::restart_process() {
  fail_call(std::nullopt);
  auto state = state_.lock();
  ++state->process;
  state->locks.clear();
}

void FaultFileSystem::settle_after_power_loss(Node& node, std::mt19937_64& coin) {
  const auto heads = [&coin] { return (coin() & 1) != 0; };
  if (!node.is_directory) {
    if (node.bytes != node.synced_bytes && heads()) {
      // What was written after the last sync may be there in part.
      const std::size_t common = std::min(node.bytes.size(), node.synced_bytes.size());
      const std::size_t extra = node.bytes.size() - common;
      node.bytes.resize(common + (extra == 0 ? 0 : coin() % (extra + 1)));
    } else {
      node.bytes = node.synced_bytes;
    }
    node.synced_bytes = node.bytes;
    return;
  }
  std::set<std::string> changed;
  for (const auto* names : {&node.names, &node.synced_names}) {
    for (const auto& [name, child] : *names) {
      changed.insert(name);
    }
  }
  for (const std::string& name : changed) {
    const auto now = node.names.find(name);
    const auto synced = node.synced_names.find(name);
    const NodePtr current = now == node.names.end() ? nullptr : now->second;
    const NodePtr durable = synced == node.synced_names.end() ? nullptr : synced->second;
    const NodePtr kept = current == durable || heads() ? current : durable;
    node.names.erase(name);
    if (kept) {
      node.names.emplace(name, kept);
    }
  }
  node.synced_names = node.names;
  for (const auto& [name, child] : node.names) {
    settle_after_power_loss(*child, coin);
  }
}

void FaultFileSystem::lose_power(std::uint64_t seed) {
  restart_process();
  std::mt19937_64 coin(seed);
  auto state = state_.lock();
  settle_after_power_loss(*state->root, coin);
}

std::map<std::string, std::string> FaultFileSystem::files(const std::string& path) {
  std::map<std::string, std::string> found;
  auto state = state_.lock();
  const std::function<void(const std::string&, const NodePtr&)> walk = [&](const std::string& at,
                                                                           const NodePtr& node) {
    if (!node->is_directory) {
      found.emplace(at, node->bytes);
    }
    for (const auto& [name, child] : node->names) {
      std::string below = at;
      below += '/';
      below += name;
      walk(below, child);
    }
  };
  if (const NodePtr node = state->find(path)) {
    walk(path, node);
  }
  return found;
}

void FaultFileSystem::overwrite(const std::string& path, std::string content) {
  auto state = state_.lock();
  const NodePtr node = state->find(path);
  node->bytes = std::move(content);
  node->synced_bytes = node->bytes;
  node->changed = state->next_change++;
}

Result<std::unique_ptr<File>> FaultFileSystem::open(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  NodePtr node = state->find(path);
  if (!node || node->is_directory) {
    return nullptr;
  }
  return std::make_unique<FaultFile>(*this, std::move(node), state->process);
}

Result<std::unique_ptr<File>> FaultFileSystem::create(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr parent = state->parent_of(path);
  if (!parent || parent->names.contains(name_of(path))) {
    return fail(Errc::io, "create " + path);
  }
  NodePtr node = state->make_node(false);
  parent->names.emplace(name_of(path), node);
  return std::make_unique<FaultFile>(*this, std::move(node), state->process);
}

Result<void> FaultFileSystem::rename(const std::string& from, const std::string& to) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr node = state->find(from);
  const NodePtr target = state->parent_of(to);
  if (!node || !target) {
    return fail(Errc::io, "rename " + from + " to " + to);
  }
  const NodePtr source = state->parent_of(from);
  source->names.erase(name_of(from));
  target->names.insert_or_assign(name_of(to), node);
  for (const NodePtr& changed : {node, source, target}) {
    changed->changed = state->next_change++;
  }
  return {};
}

Result<bool> FaultFileSystem::remove(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr parent = state->parent_of(path);
  const NodePtr node = state->find(path);
  if (node && !node->names.empty()) {
    return fail(Errc::io, "remove " + path + ": not empty");
  }
  if (!parent || parent->names.erase(name_of(path)) == 0) {
    return false;
  }
  parent->changed = state->next_change++;
  return true;
}

Result<std::optional<FileStat>> FaultFileSystem::stat(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr node = state->find(path);
  return node ? std::optional(State::stat_of(*node)) : std::nullopt;
}

Result<bool> FaultFileSystem::make_directory(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  if (const NodePtr node = state->find(path)) {
    return node->is_directory ? Result<bool>(false) : fail(Errc::io, "not a directory: " + path);
  }
  const NodePtr parent = state->parent_of(path);
  if (!parent) {
    return fail(Errc::io, "create directory " + path);
  }
  parent->names.emplace(name_of(path), state->make_node(true));
  return true;
}

Result<std::optional<std::vector<DirectoryEntry>>> FaultFileSystem::list(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr node = state->find(path);
  if (!node) {
    return std::nullopt;
  }
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, child] : node->names) {
    entries.push_back({name, child->is_directory});
  }
  return entries;
}

Result<DiskSpace> FaultFileSystem::space(const std::string& /*path*/) {
  auto state = state_.lock();
  TRY(state->count_call());
  return state->space;
}

void FaultFileSystem::set_space(const DiskSpace& space) {
  state_.lock()->space = space;
}

Result<void> FaultFileSystem::sync_directory(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr node = state->find(path);
  if (!node) {
    return fail(Errc::io, "sync directory " + path);
  }
  node->synced_names = node->names;
  return {};
}

Result<std::unique_ptr<File>> FaultFileSystem::try_lock(const std::string& path) {
  auto state = state_.lock();
  TRY(state->count_call());
  if (state->locks.contains(path)) {
    return nullptr;
  }
  state->locks.insert(path);
  const NodePtr parent = state->parent_of(path);
  NodePtr node = state->find(path);
  if (!node) {
    node = state->make_node(false);
    parent->names.emplace(name_of(path), node);
  }
  return std::make_unique<FaultFile>(*this, std::move(node), state->process, path);
}

Result<std::unique_ptr<File>> FaultFileSystem::join_lock(const std::string& path,
                                                         UniqueFd /*inherited*/) {
  auto state = state_.lock();
  TRY(state->count_call());
  const NodePtr node = state->find(path);
  if (!node || !state->locks.contains(path)) {
    return nullptr;
  }
  state->locks.insert(path);
  return std::make_unique<FaultFile>(*this, node, state->process, path);
}

} // namespace pkc::test
