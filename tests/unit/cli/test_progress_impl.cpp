#include "progress.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <optional>
#include <string>

namespace pkc::cli {
namespace {

using namespace std::chrono_literals;

TEST_SUITE("cli::TransferProgress") {
  TEST_CASE("text: a bar, the rate so far, and when it will be done at that rate") {
    const struct {
      ByteCount done;
      std::optional<ByteCount> total;
      std::chrono::milliseconds elapsed;
      std::string text;
    } rows[] = {
        {15 * kMiB,
         60 * kMiB,
         3s,
         "[#####---------------] 15.0 MiB of 60.0 MiB, 5.0 MiB/s, 9 s left"},
        {1, 1 * kGiB, 1h, "[--------------------] 1 B of 1.0 GiB, 0 B/s, 9999 h left"},
        {1 * kMiB,
         200 * kMiB,
         1s,
         "[--------------------] 1.0 MiB of 200.0 MiB, 1.0 MiB/s, 3 min left"},
        {0, 10, 0ms, "[--------------------] 0 B of 10 B, 0 B/s"},
        {10, 10, 1s, "[####################] 10 B of 10 B, 10 B/s"},
        {20, 10, 1s, "[####################] 20 B of 10 B, 20 B/s"},
        {2048, std::nullopt, 2s, "2.0 KiB, 1.0 KiB/s"},
        {2048, 0, 2s, "2.0 KiB, 1.0 KiB/s"},
    };
    for (const auto& row : rows) {
      CHECK(transfer_text(row.done, row.total, row.elapsed) == row.text);
    }
  }

  TEST_CASE("files: how many are done and failed, what came, and how fast") {
    CHECK(files_text({.done = 15, .total = 60, .failed = 0, .bytes = 15 * kMiB}, 3s) ==
          "[#####---------------] 15 of 60 files, 15.0 MiB, 5.0 MiB/s");
    CHECK(files_text({.done = 60, .total = 60, .failed = 2, .bytes = 0}, 0s) ==
          "[####################] 60 of 60 files, 2 failed, 0 B, 0 B/s");
    CHECK(files_text({.done = 0, .total = 0, .failed = 0, .bytes = 0}, 0s) ==
          "[--------------------] 0 of 0 files, 0 B, 0 B/s");
  }
}

} // namespace
} // namespace pkc::cli
