// What of a request's target may stand in a log.
#pragma once

#include <string>
#include <string_view>

namespace pkc::app {

/// `target` with *** in place of what may be a secret: every value of the query, and the user and
/// password of every URL in it. Paths stay as they are: they are keys. The result is `target`
/// itself where there is nothing to hide, else it lives in `room`.
std::string_view redacted(std::string_view target, std::string& room);

} // namespace pkc::app
