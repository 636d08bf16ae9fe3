// What a run of `warm` came to, for people and for scripts.
#pragma once

#include "pkc/app/warming.hpp"
#include "pkc/config/manifest.hpp"

#include <string>

namespace pkc::cli {

/// "downloaded 12 (1.2 GiB), already there 3, failed 1, not done 4", as a line. Pure.
std::string warm_summary(const app::WarmReport& report);

/// A line for each file that failed, and one when that ended the run. Pure.
std::string warm_failures(const config::Manifest& manifest, const app::WarmReport& report);

/// The same and what became of every file, as one JSON document. Pure.
std::string warm_json(const config::Manifest& manifest, const app::WarmReport& report);

/// 0, 1, or 128 and the number of the signal. Pure.
int warm_exit_code(const app::WarmReport& report);

} // namespace pkc::cli
