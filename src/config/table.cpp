#include "table.hpp"

#include <algorithm>
#include <functional>

namespace pkc::config {

const Row* find_row(std::string_view name) {
  const auto all = rows();
  const auto found = std::ranges::find(all, name, &Row::name);
  return found == all.end() ? nullptr : &*found;
}

std::string environment_name(const Row& row) {
  std::string name(kEnvironmentPrefix);
  for (const char letter : row.name) {
    const bool is_lower = letter >= 'a' && letter <= 'z';
    name += letter == '-' ? '_' : static_cast<char>(is_lower ? letter - 'a' + 'A' : letter);
  }
  return name;
}

std::string file_key(const Row& row) {
  std::string key(row.name);
  std::ranges::replace(key, '-', '_');
  return key;
}

} // namespace pkc::config
