#include "pkc/config/reference.hpp"

#include <algorithm>
#include <cstddef>
#include <ranges>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::config {
namespace {

/// The number of insertions, deletions, replacements and swaps of neighbours between two words
/// ("optimal string alignment").
std::size_t edit_distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> before(right.size() + 1);
  std::vector<std::size_t> previous(right.size() + 1);
  std::vector<std::size_t> current(right.size() + 1);
  std::ranges::copy(std::views::iota(std::size_t{0}, previous.size()), previous.begin());
  for (std::size_t i = 1; i <= left.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= right.size(); ++j) {
      const std::size_t replaced = previous[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replaced});
      const bool swapped =
          i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
      if (swapped) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[right.size()];
}

} // namespace

std::string_view nearest_name(std::string_view name, const std::vector<std::string_view>& known) {
  std::string_view nearest;
  std::size_t best = std::string_view::npos;
  for (const std::string_view candidate : known) {
    // A third of the letters wrong is still a typing error; more is another word. The length test
    // also bounds the work that a huge name can cause.
    const std::size_t allowed = std::max<std::size_t>(1, candidate.size() / 3);
    if (name.size() > candidate.size() + allowed || candidate.size() > name.size() + allowed) {
      continue;
    }
    const std::size_t distance = edit_distance(name, candidate);
    if (distance <= allowed && distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

} // namespace pkc::config
