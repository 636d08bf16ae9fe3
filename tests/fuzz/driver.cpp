// A main() for fuzz targets in builds without libFuzzer: runs every file of a corpus, then a fixed
// number of mutations of them, the same ones in every run.
//
//   fuzz_<target> <corpus folder> [mutations]
//
// The inputs run in a child. When it ends early, the input that ended it is written to
// <target>.input in the working folder.
#include "fuzz.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kMutationsDefault = 10'000;
constexpr std::size_t kInputSizeMax = 65'536;
constexpr rlim_t kCpuSecondsMax = 240; ///< so that an endless loop is an input to look at

/// The same sequence on every machine, which the standard distributions do not promise.
class Random {
 public:
  std::size_t below(std::size_t limit) { return engine_() % limit; }

 private:
  std::mt19937_64 engine_{20'260'118};
};

std::vector<std::string> read_corpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::ranges::sort(paths); // the order of a folder is not the same everywhere
  std::vector<std::string> inputs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

void mutate_once(std::string& input, const std::string& other, Random& random) {
  const std::size_t at = random.below(input.size() + 1);
  const std::size_t length = 1 + random.below(16);
  constexpr std::string_view kTelling{"\0\xFF\x7F\x80 0/-.\r\n:,\"", 14};
  switch (random.below(7)) {
    case 0: // flip a bit
      if (at < input.size()) {
        input[at] = static_cast<char>(input[at] ^ (1 << random.below(8)));
      }
      break;
    case 1: // any byte
      if (at < input.size()) {
        input[at] = static_cast<char>(random.below(256));
      }
      break;
    case 2: // a byte that parsers treat in a special way
      input.insert(at, 1, kTelling[random.below(kTelling.size())]);
      break;
    case 3:
      input.erase(at, length);
      break;
    case 4: // repeat a piece
      input.insert(at, input.substr(at, length));
      break;
    case 5: // cut
      input.resize(at);
      break;
    default: // continue with another input
      input = input.substr(0, at) + other.substr(random.below(other.size() + 1));
      break;
  }
  input.resize(std::min(input.size(), kInputSizeMax));
}

/// All inputs of a run, in order: nothing, the corpus, its mutations.
class Inputs {
 public:
  explicit Inputs(std::vector<std::string> corpus) : corpus_(std::move(corpus)) {}

  std::string next() {
    const std::size_t index = index_++;
    if (index <= corpus_.size()) {
      return index == 0 ? std::string() : corpus_[index - 1];
    }
    std::string input = corpus_[random_.below(corpus_.size())];
    for (std::size_t steps = 1 + random_.below(5); steps > 0; --steps) {
      mutate_once(input, corpus_[random_.below(corpus_.size())], random_);
    }
    return input;
  }

 private:
  const std::vector<std::string> corpus_;
  Random random_;
  std::size_t index_ = 0;
};

using Counter = std::atomic<std::size_t>;

struct SharedDeleter {
  void operator()(Counter* counter) const { munmap(counter, sizeof(Counter)); }
};

/// A counter that parent and child both see.
std::unique_ptr<Counter, SharedDeleter> make_shared_counter() {
  void* const memory =
      mmap(nullptr, sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    throw std::bad_alloc();
  }
  return std::unique_ptr<Counter, SharedDeleter>(new (memory) Counter(0));
}

void run_all(Inputs inputs, std::size_t count, Counter& done) {
  for (; done < count; ++done) {
    const std::string input = inputs.next();
    // A copy of exactly this size, so that a sanitizer sees a read behind its end.
    const std::vector<std::uint8_t> bytes(input.begin(), input.end());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
}

int supervise(const std::filesystem::path& program,
              const std::string& folder,
              std::size_t mutations) {
  std::vector<std::string> corpus = read_corpus(folder);
  if (corpus.empty()) {
    std::cerr << "the corpus is empty\n";
    return 1;
  }
  const std::size_t count = 1 + corpus.size() + mutations;
  Inputs inputs(std::move(corpus));
  const auto done = make_shared_counter();
  const pid_t child = fork();
  if (child == 0) {
    const rlimit limit{.rlim_cur = kCpuSecondsMax, .rlim_max = kCpuSecondsMax};
    setrlimit(RLIMIT_CPU, &limit);
    run_all(inputs, count, *done);
    _exit(0);
  }
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child && *done == count && status == 0) {
    std::cout << count << " inputs\n";
    return 0;
  }
  std::string input;
  for (std::size_t i = 0; i <= *done; ++i) {
    input = inputs.next();
  }
  const std::string path = program.filename().string() + ".input";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << input;
  std::cerr << "ended early with input " << *done << ": " << path << "\n";
  return 1;
}

} // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv, argv + argc);
    std::size_t mutations = kMutationsDefault;
    if (arguments.size() == 3) {
      const std::string& text = arguments[2];
      std::from_chars(text.data(), text.data() + text.size(), mutations);
    } else if (arguments.size() != 2) {
      std::cerr << "usage: fuzz_<target> <corpus folder> [mutations]\n";
      return 2;
    }
    return supervise(arguments[0], arguments[1], mutations);
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
