// JSON as the tree that YAML is read to, so that one reader takes both.
#pragma once

#include "yaml_tree.hpp"

#include "pkc/config/settings.hpp"

#include <optional>

namespace pkc::config {

/// Reads a file as read_yaml() does. Numbers and booleans are Kind::other here and are reported, as
/// no list of ours has any; null is Kind::nothing. It stops at the first problem of a kind that
/// makes the rest doubtful.
std::optional<YamlNode> read_json(const ConfigFile& file, Problems& problems);

} // namespace pkc::config
