#include "pkc/ops/metrics.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <vector>

namespace pkc::ops {
namespace {

bool is_name_start(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' || byte == ':';
}

/// Section "metric names and labels" of the Prometheus data model.
bool is_metric_name(std::string_view name) {
  return !name.empty() && is_name_start(name.front()) && std::ranges::all_of(name, [](char byte) {
    return is_name_start(byte) || (byte >= '0' && byte <= '9');
  });
}

void append_help(std::string& text, std::string_view help) {
  for (const char byte : help) {
    if (byte == '\\') {
      text += "\\\\";
    } else if (byte == '\n') {
      text += "\\n";
    } else {
      text += byte;
    }
  }
}

void append_header(std::string& text, std::string_view name, std::string_view help) {
  text.append("# HELP ").append(name).append(" ");
  append_help(text, help);
  text.append("\n# TYPE ").append(name).append(" counter\n");
}

} // namespace

Counter& Metrics::counter(std::string_view name, std::string_view help, std::string_view labels) {
  PKC_ASSERT(is_metric_name(name));
  const auto all = series_.lock();
  const auto same = std::ranges::find_if(
      *all, [&](const Series& series) { return series.name == name && series.labels == labels; });
  if (same != all->end()) {
    return same->counter;
  }
  Series& series = all->emplace_back();
  series.name = name;
  series.help = help;
  series.labels = labels;
  return series.counter;
}

std::string Metrics::render() {
  const auto all = series_.lock();
  std::string text;
  std::vector<std::string_view> done;
  for (const Series& family : *all) {
    if (std::ranges::find(done, family.name) != done.end()) {
      continue;
    }
    done.emplace_back(family.name);
    append_header(text, family.name, family.help);
    for (const Series& series : *all) {
      if (series.name != family.name) {
        continue;
      }
      text += series.name;
      if (!series.labels.empty()) {
        text.append("{").append(series.labels).append("}");
      }
      text.append(" ").append(std::to_string(series.counter.value())).append("\n");
    }
  }
  return text;
}

} // namespace pkc::ops
