// guess_content_type(): what a file is, by its name.
#pragma once

#include <string_view>

namespace pkc::protocols::fetch {

/// The media type of the file that `url`, an absolute one, names, by its extension, in
/// either case; "application/octet-stream" for all that is not in the table. For origins that tell
/// none. Pure.
std::string_view guess_content_type(std::string_view url);

} // namespace pkc::protocols::fetch
