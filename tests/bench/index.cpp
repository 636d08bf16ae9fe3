// index_bench: how long the index takes for what, with very many objects.
//
//   index_bench <directory> [objects]    fills <directory>/index.db unless it has as many, measures
#include "pkc/index/index.hpp"

#include "support/index_filler.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"

#include <time.h>

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using pkc::system_clock;
using namespace pkc::index;

namespace {

constexpr const char* kSpace = "polykit";

double milliseconds_of(const std::function<void()>& action) {
  const auto start = system_clock().steady_now();
  action();
  const auto end = system_clock().steady_now();
  return std::chrono::duration<double, std::milli>(end - start).count();
}

/// Processor time that this process has used.
double processor_milliseconds() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

void print(const char* what, double milliseconds) {
  std::printf("%-44s %10.2f ms\n", what, milliseconds);
}

/// Resident memory of this process in MiB.
double resident() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "VmRSS:") {
      double kib = 0;
      status >> kib;
      return kib / 1024;
    }
  }
  return 0;
}

template <typename T>
T must(pkc::Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "index_bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

void must(const pkc::Result<void>& result) {
  if (!result) {
    std::fprintf(stderr, "index_bench: %s\n", result.error().message.c_str());
    std::exit(1);
  }
}

std::unique_ptr<Index> open(const std::string& path, pkc::ops::Metrics& metrics) {
  return must(make_sql_index(system_clock(),
                             pkc::ops::null_log(),
                             metrics,
                             {.path = path,
                              .process = ::getpid(),
                              .flush_interval = std::chrono::hours(1),
                              .query_timeout = std::chrono::minutes(5)}));
}

/// The hot path: reads noted by several threads, of objects that are pending already and of others.
void measure_notes(Index& index, std::uint64_t objects) {
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kEach = 1'000'000;
  constexpr std::uint64_t kHot = 10'000;
  std::vector<std::string> keys;
  for (std::uint64_t i = 0; i < kHot; ++i) {
    keys.push_back(pkc::test::made_key(i * (objects / kHot + 1) % objects));
  }
  const double used = processor_milliseconds();
  const double took = milliseconds_of([&] {
    std::vector<std::jthread> threads;
    for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (std::uint64_t i = 0; i < kEach; ++i) {
          index.note_read(kSpace, keys[(i * 7919 + thread * 1009) % kHot]);
        }
      });
    }
  });
  std::printf("%-44s %10.0f ns of a processor, %.1f M/s\n",
              "note_read, 4 threads, 10,000 keys",
              (processor_milliseconds() - used) * 1e6 / (kThreads * kEach),
              kThreads * kEach / took / 1000);
  print("flush of 10,000 touched objects", milliseconds_of([&] { must(index.flush()); }));
}

void measure_questions(Index& index, std::uint64_t objects) {
  print("totals", milliseconds_of([&] { must(index.totals(kSpace)); }));
  print("oldest(1000)", milliseconds_of([&] { must(index.oldest(kSpace, 1000)); }));
  print("stored_before(now, 1000)", milliseconds_of([&] {
          must(index.stored_before(kSpace, system_clock().wall_now_ms(), 1000));
        }));
  std::size_t rows = 0;
  const double shard =
      milliseconds_of([&] { rows = must(index.with_prefix(kSpace, "abcd")).size(); });
  print(("with_prefix(4 characters), " + std::to_string(rows) + " rows").c_str(), shard);
  for (const Sort sort : {Sort::key, Sort::stored, Sort::accessed, Sort::size}) {
    ListQuery query{.space = kSpace, .sort = sort, .order = Order::descending, .limit = 100};
    Page page;
    const double first = milliseconds_of([&] { page = must(index.list(query)); });
    query.cursor = page.next;
    const double second = milliseconds_of([&] { must(index.list(query)); });
    const std::string name =
        "list sort " + std::to_string(static_cast<int>(sort)) + ", page of 100";
    print((name + ", first").c_str(), first);
    print((name + ", second").c_str(), second);
  }
  print("find",
        milliseconds_of([&] { must(index.find(kSpace, pkc::test::made_key(objects / 2))); }));
  print("eviction: note_removed of 1000 and flush", milliseconds_of([&] {
          for (const Object& object : must(index.oldest(kSpace, 1000))) {
            index.note_removed(kSpace, object.key);
          }
          must(index.flush());
        }));
}

int run(const std::string& directory, std::uint64_t objects) {
  const std::string path = directory + "/index.db";
  pkc::ops::Metrics metrics;
  {
    const auto index = open(path, metrics);
    if (must(index->totals(kSpace)).objects < objects) {
      print("fill", milliseconds_of([&] {
              must(pkc::test::fill_index(*index, kSpace, objects, system_clock().wall_now_ms()));
            }));
    }
  }
  std::printf("%-44s %10.1f MiB\n",
              "size of the file",
              static_cast<double>(std::filesystem::file_size(path)) / 1048576);
  std::unique_ptr<Index> index;
  print("open", milliseconds_of([&] { index = open(path, metrics); }));
  std::printf("%-44s %10.1f MiB\n", "resident after opening", resident());
  measure_questions(*index, objects);
  measure_notes(*index, objects);
  std::printf("%-44s %10.1f MiB\n", "resident after all", resident());
  print("clean end", milliseconds_of([&] { index.reset(); }));
  return 0;
}

} // namespace

int main(int count, char** arguments) {
  std::uint64_t objects = 1'000'000;
  if (count == 3) {
    const char* const text = arguments[2];
    std::from_chars(text, text + std::strlen(text), objects);
  }
  if (count < 2 || count > 3 || objects == 0) {
    std::fprintf(stderr, "usage: index_bench <directory> [objects]\n");
    return 64;
  }
  return run(arguments[1], objects);
}
