#include "pkc/ops/metrics.hpp"

#include "pkc/base/assert.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <utility>

namespace pkc::ops {
namespace {

bool is_letter(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_';
}

bool is_name(std::string_view name, bool (*starts)(char)) {
  return !name.empty() && starts(name.front()) && std::ranges::all_of(name, [&](char byte) {
    return starts(byte) || (byte >= '0' && byte <= '9');
  });
}

/// Section "metric names and labels" of the Prometheus data model.
bool is_metric_name(std::string_view name) {
  return is_name(name, [](char byte) { return is_letter(byte) || byte == ':'; });
}

/// The same; `le` belongs to histograms, and two underscores in front to Prometheus.
bool is_label_name(std::string_view name) {
  return is_name(name, is_letter) && !name.starts_with("__") && name != "le";
}

void append_escaped(std::string& text, std::string_view raw, bool quotes) {
  for (const char byte : raw) {
    if (byte == '\n') {
      text += "\\n";
      continue;
    }
    if (byte == '\\' || (byte == '"' && quotes)) {
      text += '\\';
    }
    text += byte;
  }
}

std::string label_text(Labels labels) {
  std::string text;
  for (const Label& label : labels) {
    PKC_ASSERT(is_label_name(label.name));
    text.append(text.empty() ? "" : ",").append(label.name).append("=\"");
    append_escaped(text, label.value, true);
    text += '"';
  }
  return text;
}

template <typename Number>
void append_number(std::string& text, Number number) {
  std::array<char, 32> digits{}; // room for every 64-bit number and every double
  char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  text.append(digits.data(), end);
}

void append_value(std::string& text, double value) {
  if (std::isnan(value)) {
    text += "NaN";
  } else if (std::isinf(value)) {
    text += value > 0 ? "+Inf" : "-Inf";
  } else {
    append_number(text, value);
  }
}

void append_value(std::string& text, std::uint64_t value) {
  append_number(text, value);
}

void append_sample(std::string& text, std::string_view name, std::string_view labels, auto value) {
  text += name;
  if (!labels.empty()) {
    text.append("{").append(labels).append("}");
  }
  text += ' ';
  append_value(text, value);
  text += '\n';
}

void append_histogram(std::string& text,
                      const std::string& name,
                      const std::string& labels,
                      const Histogram& histogram) {
  const Histogram::Snapshot snapshot = histogram.snapshot();
  const Histogram::Scale& scale = histogram.scale();
  for (std::size_t i = 0; i < snapshot.cumulative.size(); ++i) {
    std::string bucket = labels + (labels.empty() ? "le=\"" : ",le=\"");
    if (i < scale.bounds.size()) {
      append_value(
          bucket, static_cast<double>(scale.bounds[i]) / static_cast<double>(scale.ticks_per_unit));
    } else {
      bucket += "+Inf";
    }
    append_sample(text, name + "_bucket", bucket + '"', snapshot.cumulative[i]);
  }
  append_sample(text, name + "_sum", labels, snapshot.sum);
  append_sample(text, name + "_count", labels, snapshot.cumulative.back());
}

} // namespace

Metrics::Family& Metrics::family_of(Families& families, const Request& request) {
  const auto known = std::ranges::find(families, request.name, &Family::name);
  if (known != families.end()) {
    PKC_ASSERT(known->type == request.type);
    PKC_ASSERT(std::ranges::equal(known->label_names, request.labels, {}, {}, &Label::name));
    return *known;
  }
  PKC_ASSERT(is_metric_name(request.name));
  Family& family = families.emplace_back();
  family.name = request.name;
  family.help = request.help;
  family.type = request.type;
  std::ranges::transform(request.labels,
                         std::back_inserter(family.label_names),
                         [](const Label& label) { return std::string(label.name); });
  return family;
}

template <typename Kind, typename... Arguments>
Kind& Metrics::find_or_make(const Request& request, Arguments&&... arguments) {
  std::string labels = label_text(request.labels);
  const auto families = families_.lock();
  Family& family = family_of(*families, request);
  auto series = std::ranges::find(family.series, labels, &Series::labels);
  if (series == family.series.end()) {
    PKC_ASSERT(family.series.size() < kSeriesMax);
    family.series.emplace_back(
        std::move(labels), std::in_place_type<Kind>, std::forward<Arguments>(arguments)...);
    series = std::prev(family.series.end());
  }
  Kind* const kind = std::get_if<Kind>(&series->value);
  PKC_ASSERT(kind != nullptr);
  return *kind;
}

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  return find_or_make<Counter>({name, help, labels, Type::counter});
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  return find_or_make<Gauge>({name, help, labels, Type::gauge});
}

Gauge& Metrics::sampled_counter(std::string_view name, std::string_view help, Labels labels) {
  return find_or_make<Gauge>({name, help, labels, Type::counter});
}

Histogram& Metrics::histogram(std::string_view name,
                              std::string_view help,
                              Histogram::Scale scale,
                              Labels labels) {
  return find_or_make<Histogram>({name, help, labels, Type::histogram}, scale);
}

Metrics::Registration Metrics::add_collector(std::function<void()> collect) {
  const std::lock_guard lock(collectors_mutex_);
  const auto place = collectors_.insert(collectors_.end(), std::move(collect));
  return Registration(&*place, [this, place](void* /*collector*/) {
    const std::lock_guard leaving(collectors_mutex_);
    collectors_.erase(place);
  });
}

void Metrics::append_series(std::string& text, const Family& family, const Series& series) {
  if (const auto* histogram = std::get_if<Histogram>(&series.value)) {
    append_histogram(text, family.name, series.labels, *histogram);
  } else if (const auto* counter = std::get_if<Counter>(&series.value)) {
    append_sample(text, family.name, series.labels, counter->value());
  } else {
    append_sample(text, family.name, series.labels, std::get<Gauge>(series.value).value());
  }
}

std::string Metrics::render() {
  constexpr std::array<std::string_view, 3> kTypes = {"counter", "gauge", "histogram"};
  const std::lock_guard lock(collectors_mutex_);
  std::ranges::for_each(collectors_, [](const auto& collect) { collect(); });
  const auto families = families_.lock();
  std::string text;
  for (const Family& family : *families) {
    text.append("# HELP ").append(family.name).append(" ");
    append_escaped(text, family.help, false);
    text.append("\n# TYPE ").append(family.name).append(" ");
    text.append(kTypes.at(static_cast<std::size_t>(family.type))).append("\n");
    for (const Series& series : family.series) {
      append_series(text, family, series);
    }
  }
  return text;
}

} // namespace pkc::ops
