// fetch(): the whole life of one download, on its own thread.
#pragma once

#include "body_sink.hpp"
#include "download.hpp"

#include <functional>

namespace pkc::upstream {

/// Told when a download is about to be over without regard to who joins it from now on.
using Closing = std::function<void()>;

/// Brings the download to its end, whatever that is; returns the failure if it was one.
std::optional<Failure> fetch(const Fetchers& fetchers, Download& download, const Closing& closing);

} // namespace pkc::upstream
