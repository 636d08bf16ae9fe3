// What an operator asks about downloads: by URL, and not by key.
#pragma once

#include "admin/query.hpp"

#include "pkc/base/result.hpp"
#include "pkc/store/inventory.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string_view>

namespace pkc::protocols::admin {

/// Whether a list of artifacts is to be one of URLs: it asks for some by prefix, or for all of the
/// space that has them, and not for its keys. `space` is empty when no space has URLs.
bool asks_for_sources(Query query, std::string_view space);

/// Errors: invalid_argument, naming the parameter.
Result<store::SourceQuery> parse_source_list(Query query, std::string_view space);

nlohmann::ordered_json json_of(const store::SourceRow& row);

} // namespace pkc::protocols::admin
