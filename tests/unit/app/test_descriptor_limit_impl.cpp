#include "descriptor_limit.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

using pkc::app::connections_that_fit;

namespace {

struct Row {
  std::uint64_t descriptors;
  std::size_t workers;
  std::size_t wanted;
  std::size_t fitting;
};

} // namespace

TEST_CASE(
    "connections_that_fit: leaves room for what workers open, and is what is wanted at most") {
  for (const Row& row : {Row{1'048'576, 256, 10'000, 10'000},
                         Row{20'000, 256, 10'000, 10'000},
                         Row{4096, 256, 10'000, 2528},
                         Row{1024, 256, 10'000, 158},
                         Row{1024, 256, 100, 100},
                         Row{1024, 8, 10'000, 696},
                         Row{256, 256, 10'000, 35},
                         Row{64, 256, 10'000, 5},
                         Row{33, 256, 10'000, 1},
                         Row{0, 256, 10'000, 1}}) {
    CAPTURE(row.descriptors);
    CAPTURE(row.workers);
    CHECK(connections_that_fit(row.descriptors, row.workers, row.wanted) == row.fitting);
  }
}

TEST_CASE("connections_that_fit: grows with the descriptors") {
  std::size_t before = 0;
  for (std::uint64_t descriptors = 0; descriptors < 5000; ++descriptors) {
    const std::size_t fitting = connections_that_fit(descriptors, 256, 10'000);
    REQUIRE(fitting >= before);
    before = fitting;
  }
}

TEST_CASE("share_descriptors: files take a quarter at most, clients what is left") {
  const pkc::app::DescriptorShares wanted{.open_files = 512, .connections = 10'000};

  const auto all = pkc::app::share_descriptors(20'000, 256, wanted);
  CHECK(all.open_files == 512);
  CHECK(all.connections == 10'000);

  const auto some = pkc::app::share_descriptors(1024, 256, wanted);
  CHECK(some.open_files == 256);
  CHECK(some.connections == connections_that_fit(1024 - 256, 256, 10'000));
}

TEST_CASE("descriptors_for: is the least that gives all") {
  for (const std::size_t connections : {1U, 100U, 10'000U, 1'000'000U}) {
    CAPTURE(connections);
    const pkc::app::DescriptorShares wanted{.open_files = 512, .connections = connections};
    const std::uint64_t least = pkc::app::descriptors_for(256, wanted);

    const auto enough = pkc::app::share_descriptors(least, 256, wanted);
    CHECK(enough.open_files == 512);
    CHECK(enough.connections == connections);
    const auto less = pkc::app::share_descriptors(least - 1, 256, wanted);
    CHECK((less.open_files < 512 || less.connections < connections));
  }
}
