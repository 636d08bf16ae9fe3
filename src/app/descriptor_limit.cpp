#include "descriptor_limit.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace pkc::app {

namespace {

/// The listener, the log, the storage directory and the like.
constexpr std::uint64_t kForTheServer = 32;
/// A commit holds the temporary blob, the directory it goes to, and one file besides; a worker
/// keeps both ends of a pipe for bodies in pieces.
constexpr std::uint64_t kFilesOfRequest = 5;
/// Beyond their limit, this part of the clients (http::Server) may wait for their 503 to be read.
constexpr std::uint64_t kTurnedAwayShare = 4;
constexpr std::uint64_t kTurnedAwayMax = 256;

} // namespace

std::optional<std::uint64_t> raise_descriptor_limit(ops::Log& log) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return std::nullopt;
  }
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    log.warn("the limit of open files could not be raised", {{"errno", errno}});
    return before;
  }
  return limit.rlim_cur;
}

std::size_t connections_that_fit(std::uint64_t descriptors,
                                 std::size_t workers_max,
                                 std::size_t wanted) {
  const std::uint64_t room = descriptors - std::min(descriptors, kForTheServer);
  // Either every client may be served at once, or there are more clients than workers.
  const std::uint64_t all_served =
      room * kTurnedAwayShare / (kTurnedAwayShare * (1 + kFilesOfRequest) + 1);
  const std::uint64_t for_others = kFilesOfRequest * workers_max + kTurnedAwayMax;
  const std::uint64_t some_wait = room - std::min(room, for_others);
  const std::uint64_t fitting =
      std::max(std::min<std::uint64_t>(all_served, workers_max), some_wait);
  return std::clamp<std::uint64_t>(fitting, 1, std::max<std::uint64_t>(wanted, 1));
}

DescriptorShares share_descriptors(std::uint64_t descriptors,
                                   std::size_t workers_max,
                                   const DescriptorShares& wanted) {
  const std::size_t open_files = std::min<std::uint64_t>(wanted.open_files, descriptors / 4);
  return {.open_files = open_files,
          .connections =
              connections_that_fit(descriptors - open_files, workers_max, wanted.connections)};
}

std::uint64_t descriptors_for(std::size_t workers_max, const DescriptorShares& wanted) {
  const auto suffices = [&](std::uint64_t descriptors) {
    const DescriptorShares shares = share_descriptors(descriptors, workers_max, wanted);
    return shares.open_files >= wanted.open_files && shares.connections >= wanted.connections;
  };
  std::uint64_t too_few = 0;
  std::uint64_t enough = 1;
  while (!suffices(enough)) {
    too_few = enough;
    enough *= 2;
  }
  while (enough - too_few > 1) {
    const std::uint64_t middle = too_few + (enough - too_few) / 2;
    (suffices(middle) ? enough : too_few) = middle;
  }
  return enough;
}

} // namespace pkc::app
