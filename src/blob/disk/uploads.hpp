// Uploads: the names in tmp/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::blob {

inline constexpr std::string_view kTempSuffix = ".tmp";

std::string temp_name(std::int64_t process, std::uint64_t number);
/// The process that a temp file is of; nothing when its name is not one of ours.
std::optional<std::int64_t> owner_of(std::string_view temp_name);

} // namespace pkc::blob
