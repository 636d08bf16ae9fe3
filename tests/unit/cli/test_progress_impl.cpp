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
}

} // namespace
} // namespace pkc::cli
