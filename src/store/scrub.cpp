#include "pkc/store/scrub.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace pkc::store {

namespace {

constexpr int kVersion = 1;
constexpr ByteCount kStateSizeMax = 4 * kKiB;
constexpr auto kSaveInterval = std::chrono::minutes(1);
/// After something could not be listed at all.
constexpr auto kRetryInterval = std::chrono::minutes(1);
/// No wait is longer, so that a clock that was set is noticed.
constexpr auto kWaitMax = std::chrono::minutes(10);

std::int64_t seconds_of(WallTime time) {
  return time.time_since_epoch().count();
}

WallTime time_of(std::int64_t seconds) {
  return WallTime(std::chrono::seconds(seconds));
}

constexpr std::size_t kSpaceNameMax = 32;

/// As Backend::make_space() takes.
bool is_space(const std::string& text) {
  return text.size() <= kSpaceNameMax && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
         });
}

bool is_shard(const std::string& text) {
  return text.size() == 4 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
         });
}

template <typename T>
bool take(const nlohmann::json& object, const char* name, T& target) {
  const auto found = object.find(name);
  if (found == object.end()) {
    return false;
  }
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) {
      return false;
    }
  } else if (!found->is_number_unsigned()) {
    return false;
  }
  target = found->template get<T>();
  return true;
}

} // namespace

std::string format_scrub_state(const ScrubState& state) {
  nlohmann::ordered_json object;
  object["version"] = kVersion;
  object["started_at"] = state.started_at;
  object["next_shard"] = state.next_shard;
  if (!state.next_space.empty()) {
    object["next_space"] = state.next_space;
  }
  object["objects"] = state.objects;
  object["bytes"] = state.bytes;
  object["corrupt"] = state.corrupt;
  object["completed_at"] = state.completed_at;
  return object.dump() + "\n";
}

std::optional<ScrubState> parse_scrub_state(std::string_view text) {
  if (text.size() > kStateSizeMax) {
    return std::nullopt;
  }
  const auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  ScrubState state;
  int version = 0;
  const bool whole =
      object.is_object() && take(object, "version", version) &&
      take(object, "started_at", state.started_at) &&
      take(object, "next_shard", state.next_shard) &&
      (!object.contains("next_space") || take(object, "next_space", state.next_space)) &&
      take(object, "objects", state.objects) && take(object, "bytes", state.bytes) &&
      take(object, "corrupt", state.corrupt) && take(object, "completed_at", state.completed_at);
  const bool sane =
      whole && version == kVersion && state.started_at >= 0 && state.completed_at >= 0 &&
      (state.next_shard.empty() || is_shard(state.next_shard)) && is_space(state.next_space);
  return sane ? std::optional(state) : std::nullopt;
}

Scrub::Scrub(const ScrubTarget& target, ScrubOptions options)
    : target_(target),
      options_(std::move(options)),
      objects_(target.metrics.counter("polykit_cache_scrub_objects_total",
                                      "Objects that the background check has read.")),
      bytes_(target.metrics.counter("polykit_cache_scrub_bytes_total",
                                    "Bytes that the background check has read.")),
      corrupt_(target.metrics.counter("polykit_cache_scrub_corrupt_total",
                                      "Bad objects that the background check has found.")),
      completed_(target.metrics.gauge(
          "polykit_cache_scrub_last_completed_timestamp_seconds",
          "When the background check last ended a round, Unix time; 0: never.")) {
  load();
}

void Scrub::load() {
  const auto file = target_.file_system.open(options_.state_file);
  if (!file || !*file || (*file)->opened_stat().size > kStateSizeMax) {
    return;
  }
  std::string text((*file)->opened_stat().size, '\0');
  const auto count = (*file)->read_at(0, std::as_writable_bytes(std::span(text)));
  auto state = count && *count == text.size() ? parse_scrub_state(text) : std::nullopt;
  const std::int64_t now = seconds_of(target_.clock.wall_now());
  // A time to come is of a clock that was wrong, and would put everything off until then.
  if (state && state->started_at <= now && state->completed_at <= now) {
    state_ = *std::move(state);
    resuming_ = !state_.next_shard.empty();
  }
  show_completed();
}

void Scrub::show_completed() {
  completed_.set(static_cast<double>(state_.completed_at));
}

std::chrono::milliseconds Scrub::step(const Pace& pace) {
  // A clock that was set back would put everything off until it is there again.
  state_.started_at = std::min(state_.started_at, seconds_of(target_.clock.wall_now()));
  if (state_.next_shard.empty()) {
    const WallTime next =
        time_of(state_.started_at) + std::chrono::ceil<std::chrono::seconds>(options_.interval);
    const bool first = state_.started_at == 0;
    if (const auto wait = until(next); !first && wait.count() > 0) {
      return wait;
    }
    begin_round();
  } else if (resuming_) {
    resume_round();
  }
  if (shards_.empty()) {
    return kRetryInterval; // nothing is stored, or it cannot be listed
  }
  if (position_ >= shards_.size()) {
    end_round();
    return std::chrono::milliseconds(0);
  }
  if (const auto wait = until(due_at(position_)); wait.count() > 0) {
    return wait;
  }
  if (scrub_shard(shards_[position_], pace) == Done::yes) {
    ++position_;
    remember(position_ < shards_.size() ? shards_[position_] : shards_.back());
  }
  if (target_.clock.steady_now() >= next_save_) {
    save();
  }
  return std::chrono::milliseconds(0);
}

/// A space that cannot be listed does not keep the others from being read.
bool Scrub::list_shards() {
  shards_.clear();
  position_ = 0;
  for (std::size_t at = 0; at < target_.spaces.size(); ++at) {
    auto names = target_.spaces[at].backend.list_shards();
    if (!names) {
      target_.log.warn("scrub cannot list the storage",
                       {{"space", target_.spaces[at].name}, {"reason", names.error().message}});
      continue;
    }
    for (std::string& name : *names) {
      shards_.push_back({.space = at, .name = std::move(name)});
    }
  }
  return !shards_.empty();
}

void Scrub::remember(const Shard& shard) {
  state_.next_shard = shard.name;
  state_.next_space = shard.space == 0 ? "" : target_.spaces[shard.space].name;
}

/// A space that is gone is read as the first one: again, rather than not at all.
Scrub::Shard Scrub::remembered() const {
  const auto found = std::ranges::find(target_.spaces, state_.next_space, &ScrubSpace::name);
  const bool known = found != target_.spaces.end();
  return {.space = known ? static_cast<std::size_t>(found - target_.spaces.begin()) : 0,
          .name = known || state_.next_space.empty() ? state_.next_shard : ""};
}

void Scrub::begin_round() {
  if (!list_shards()) {
    return;
  }
  state_ = {.started_at = seconds_of(target_.clock.wall_now()),
            .next_shard = {},
            .next_space = {},
            .objects = 0,
            .bytes = 0,
            .corrupt = 0,
            .completed_at = state_.completed_at};
  remember(shards_.front());
  target_.log.info("scrub begins",
                   {{"shards", shards_.size()}, {"interval", format_duration(options_.interval)}});
  save();
}

void Scrub::resume_round() {
  if (!list_shards()) {
    return;
  }
  resuming_ = false;
  position_ =
      static_cast<std::size_t>(std::ranges::lower_bound(shards_, remembered()) - shards_.begin());
  target_.log.info("scrub goes on",
                   {{"space", target_.spaces[remembered().space].name},
                    {"shard", state_.next_shard},
                    {"shards_left", shards_.size() - position_},
                    {"objects", state_.objects}});
  next_save_ = target_.clock.steady_now() + kSaveInterval;
}

void Scrub::end_round() {
  state_.completed_at = seconds_of(target_.clock.wall_now());
  state_.next_shard.clear();
  state_.next_space.clear();
  show_completed();
  target_.log.info("scrub ends",
                   {{"objects", state_.objects},
                    {"bytes", state_.bytes},
                    {"corrupt", state_.corrupt},
                    {"seconds", state_.completed_at - state_.started_at}});
  save();
}

Scrub::Done Scrub::scrub_shard(const Shard& shard, const Pace& pace) {
  const ScrubSpace& space = target_.spaces[shard.space];
  const auto listing = space.backend.list_shard(shard.name);
  if (!listing) {
    target_.log.warn(
        "scrub cannot list a shard",
        {{"space", space.name}, {"shard", shard.name}, {"reason", listing.error().message}});
    return Done::yes;
  }
  for (const blob::ListedName& listed : listing->names) {
    const auto key = Key::parse_hex(listed.name);
    if (!key || !listed.has_blob) {
      continue;
    }
    if (!pace(0)) {
      return Done::no;
    }
    const auto verdict = space.store.scrub(*key, [&](std::size_t size) {
      bytes_.add(size);
      state_.bytes += size;
      return pace(size);
    });
    if (!verdict) {
      target_.log.warn(
          "scrub cannot read an object",
          {{"space", space.name}, {"key", listed.name}, {"reason", verdict.error().message}});
      continue;
    }
    if (*verdict == Scrubbed::stopped) {
      return Done::no;
    }
    if (*verdict == Scrubbed::missing) {
      continue;
    }
    objects_.add();
    ++state_.objects;
    corrupt_.add(*verdict == Scrubbed::bad ? 1U : 0U);
    state_.corrupt += *verdict == Scrubbed::bad ? 1U : 0U;
  }
  return Done::yes;
}

WallTime Scrub::due_at(std::size_t position) const {
  const auto share = static_cast<double>(position) / static_cast<double>(shards_.size());
  const auto offset = std::chrono::duration<double, std::milli>(
      static_cast<double>(options_.interval.count()) * share);
  return time_of(state_.started_at) + std::chrono::floor<std::chrono::seconds>(offset);
}

std::chrono::milliseconds Scrub::until(WallTime time) const {
  const auto wait = time - target_.clock.wall_now();
  return std::clamp<std::chrono::milliseconds>(wait, std::chrono::milliseconds(0), kWaitMax);
}

void Scrub::save() {
  next_save_ = target_.clock.steady_now() + kSaveInterval;
  if (const auto written = write_state(); !written) {
    target_.log.warn("scrub cannot keep how far it is", {{"reason", written.error().message}});
  }
}

Result<void> Scrub::write_state() {
  const std::string temp = options_.temp_stem + std::to_string(temp_number_++) + ".tmp";
  const auto write = [&]() -> Result<void> {
    TRY_ASSIGN(const auto file, target_.file_system.create(temp));
    TRY(file->write(as_bytes(format_scrub_state(state_))));
    TRY(file->sync());
    return target_.file_system.rename(temp, options_.state_file);
  };
  auto written = write();
  if (!written) {
    [[maybe_unused]] const auto ignored = target_.file_system.remove(temp);
  }
  return written;
}

} // namespace pkc::store
