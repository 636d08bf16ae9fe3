// Metrics: named numbers with bounded labels, and their Prometheus text form.
#pragma once

#include "pkc/base/guarded.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkc::ops {

/// A number that only grows. Thread-safe.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// A number that goes up and down. Thread-safe.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  [[nodiscard]] double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// Counts values by size. Values are whole ticks, so that a sum never loses what it is made of; a
/// scale says how many of them are one unit of what is shown. Thread-safe; a worker finds its own
/// cache lines, so that many at once do not wait for each other.
class Histogram {
 public:
  static constexpr std::size_t kBoundsMax = 22;

  struct Scale {
    std::span<const std::uint64_t> bounds; ///< ascending, in ticks; at most kBoundsMax
    std::uint64_t ticks_per_unit = 1;
  };

  /// `scale.bounds` outlives the histogram.
  explicit Histogram(Scale scale);

  void observe(std::uint64_t ticks);

  struct Snapshot {
    std::vector<std::uint64_t> cumulative; ///< one more than there are bounds: the last is all
    double sum = 0;                        ///< in units
  };
  [[nodiscard]] Snapshot snapshot() const;
  [[nodiscard]] const Scale& scale() const { return scale_; }

 private:
  static constexpr std::size_t kShards = 8;
  static constexpr std::size_t kCacheLine = 64;
  struct alignas(kCacheLine) Shard {
    std::atomic<std::uint64_t> sum{0};
    std::array<std::atomic<std::uint64_t>, kBoundsMax + 1> counts{};
  };

  Scale scale_;
  std::array<Shard, kShards> shards_{};
};

/// 100 µs to a minute, in microseconds, shown in seconds.
Histogram::Scale request_durations();

/// The family of what was answered 503 at once, by `reason`: several modules count in it.
inline constexpr std::string_view kRefusedName = "polykit_cache_refused_total";
inline constexpr std::string_view kRefusedHelp =
    "Clients and requests refused with 503, by reason.";

struct Label {
  std::string_view name;
  std::string_view value;
};
using Labels = std::initializer_list<Label>;

/// The registry. Thread-safe. What it hands out lives as long as it does: ask for each once, at
/// start, and keep the reference.
///
/// Label values are from a set that the program fixes, never from a request: a family of more than
/// kSeriesMax series is a programmer error, as are two types or two sets of label names in one.
class Metrics {
 public:
  static constexpr std::size_t kSeriesMax = 256;

  Metrics() = default;
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  Metrics(Metrics&&) = delete;
  Metrics& operator=(Metrics&&) = delete;
  ~Metrics() = default;

  /// The one of that name and those labels, made on first use. The first help text of a name
  /// counts.
  Counter& counter(std::string_view name, std::string_view help, Labels labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, Labels labels = {});
  Histogram& histogram(std::string_view name,
                       std::string_view help,
                       Histogram::Scale scale,
                       Labels labels = {});
  /// Shown as a counter, for what somebody else counts: a collector sets it.
  Gauge& sampled_counter(std::string_view name, std::string_view help, Labels labels = {});

  /// A collector's place in the registry; leaves it on destruction, after a call under way. Must
  /// not outlive the registry.
  using Registration = std::unique_ptr<void, std::function<void(void*)>>;
  /// `collect` is called by each render() before it reads anything, one call at a time, and may
  /// block for a moment. It must use nothing of the registry but what that has handed out.
  [[nodiscard]] Registration add_collector(std::function<void()> collect);

  /// Prometheus text exposition format 0.0.4, families in order of first use.
  [[nodiscard]] std::string render();

 private:
  enum class Type : std::uint8_t {
    counter,
    gauge,
    histogram
  };
  struct Series {
    template <typename Kind, typename... Arguments>
    Series(std::string text, std::in_place_type_t<Kind> kind, Arguments&&... arguments)
        : labels(std::move(text)), value(kind, std::forward<Arguments>(arguments)...) {}
    std::string labels; ///< `a="1",b="2"`
    std::variant<Counter, Gauge, Histogram> value;
  };
  struct Family {
    std::string name;
    std::string help;
    Type type{};
    std::vector<std::string> label_names;
    std::deque<Series> series;
  };
  struct Request {
    std::string_view name;
    std::string_view help;
    Labels labels;
    Type type{};
  };
  using Families = std::deque<Family>;

  template <typename Kind, typename... Arguments>
  Kind& find_or_make(const Request& request, Arguments&&... arguments);
  static Family& family_of(Families& families, const Request& request);
  static void append_series(std::string& text, const Family& family, const Series& series);

  // Lock order: collectors_mutex_ before families_. The first is held while collectors run: whoever
  // takes one out must know that it is not called any more.
  std::mutex collectors_mutex_;
  std::list<std::function<void()>> collectors_;
  Guarded<Families> families_;
};

} // namespace pkc::ops
