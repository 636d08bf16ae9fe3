#include "body_sink.hpp"

#include "pkc/net/retry.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace pkc::upstream {

namespace {

constexpr int kOk = 200;
constexpr int kPartialContent = 206;
/// Those who wait are told of more when there is this much of it, or after this long: each of a
/// thousand costs a wake-up.
constexpr ByteCount kToldStep = 1 * kMiB;
constexpr std::chrono::milliseconds kToldInterval{20};
/// Of what comes more slowly than this, they are given what the writer holds back: now and then, as
/// each time ends a block of the stored file, and a file in many blocks is slow to send.
constexpr ByteCount kSlowStep = 64 * kKiB;
constexpr std::chrono::milliseconds kSlowInterval{500};

/// Another time, the same request may be answered otherwise (RFC 9110 section 15.6, RFC 6585).
bool may_pass(int status) {
  constexpr std::array kStatuses = {408, 425, 429, 500, 502, 503, 504};
  return std::ranges::find(kStatuses, status) != kStatuses.end();
}

/// The end of a body: where it begins, and how large the whole is.
struct Rest {
  ByteCount start = 0;
  ByteCount size = 0;
};

/// "bytes FIRST-LAST/SIZE", if LAST is the end of the whole and SIZE is `length`.
std::optional<Rest> parse_rest(std::string_view content_range, std::optional<ByteCount> length) {
  constexpr std::string_view kUnit = "bytes ";
  if (!content_range.starts_with(kUnit)) {
    return std::nullopt;
  }
  content_range.remove_prefix(kUnit.size());
  const auto take_number = [&](char end) -> std::optional<ByteCount> {
    ByteCount value = 0;
    const char* const first = content_range.data();
    const char* const last = first + content_range.size();
    const auto [rest, error] = std::from_chars(first, last, value);
    if (error != std::errc() || (end == '\0' ? rest != last : rest == last || *rest != end)) {
      return std::nullopt;
    }
    content_range.remove_prefix(static_cast<std::size_t>(rest - first) + (end == '\0' ? 0 : 1));
    return value;
  };
  const auto first = take_number('-');
  const auto last = first ? take_number('/') : std::nullopt;
  const auto size = last ? take_number('\0') : std::nullopt;
  if (!size || *first > *last || *last + 1 != *size || (length && *length != *size)) {
    return std::nullopt;
  }
  return Rest{*first, *size};
}

std::string_view value_of(const HttpHeaders& headers, std::string_view name) {
  return headers.get(name).value_or("");
}

/// For If-Range: a strong entity tag. Dates are too coarse to prove that nothing changed within a
/// second, but a date that is long past is as good as a tag (RFC 9110 section 8.8.2.2).
std::string strong_validator(const HttpHeaders& headers) {
  const std::string_view etag = value_of(headers, "ETag");
  if (!etag.empty() && !etag.starts_with("W/")) {
    return std::string(etag);
  }
  const std::string_view modified = value_of(headers, "Last-Modified");
  const auto then = parse_http_date(modified);
  const auto now = parse_http_date(value_of(headers, "Date"));
  constexpr std::chrono::minutes kLongPast{1};
  return etag.empty() && then && now && *now - *then >= kLongPast ? std::string(modified)
                                                                  : std::string();
}

/// Whether a part may be joined to what came before, by what its headers say of the whole (RFC 9110
/// section 15.3.7). A part may leave them out.
bool is_of_the_same(const HttpHeaders& before, const HttpHeaders& part) {
  constexpr std::array<std::string_view, 3> kTold = {"ETag", "Last-Modified", "Content-Encoding"};
  return std::ranges::all_of(kTold, [&](std::string_view name) {
    const std::string_view value = value_of(part, name);
    return value.empty() || value == value_of(before, name);
  });
}

} // namespace

BodySink::BodySink(const Fetchers& fetchers, Download& download)
    : fetchers_(fetchers), download_(download) {}

Result<void> BodySink::refuse(Failure failure, Passing passing) {
  transient_ = passing == Passing::yes;
  failure_ = std::move(failure);
  return fail(Errc::conflict, failure_->message);
}

void BodySink::clear_failure() {
  failure_.reset();
  transient_ = false;
}

Result<void> BodySink::refuse_status(const net::ResponseHead& head) {
  return refuse({.kind = Failure::Kind::refused,
                 .status = head.status,
                 .message = "the origin answered " + std::to_string(head.status),
                 .retry_after = net::parse_retry_after(value_of(head.headers, "Retry-After"),
                                                       fetchers_.parts.clock.wall_now())},
                may_pass(head.status) ? Passing::yes : Passing::no);
}

Result<void> BodySink::refuse_storage(const Error& error) {
  return refuse(
      {.kind = error.code == Errc::no_space ? Failure::Kind::no_space : Failure::Kind::internal,
       .status = 0,
       .message = error.message,
       .retry_after = std::nullopt});
}

Result<void> BodySink::head(const net::ResponseHead& head) {
  if (resumes_ && head.status == kPartialContent) {
    return go_on(head);
  }
  if (head.status != kOk) { // 206 as well: nobody asked for a part
    return refuse_status(head);
  }
  return begin(head);
}

Result<void> BodySink::begin(const net::ResponseHead& head) {
  const ByteCount size_max = download_.request().size_max;
  if (head.content_length.value_or(0) > size_max) {
    return refuse({.kind = Failure::Kind::too_large,
                   .message = "the body is larger than " + format_byte_count(size_max)});
  }
  auto writer = fetchers_.parts.store.put(head.content_length);
  if (!writer) {
    return refuse_storage(writer.error());
  }
  auto content = (*writer)->growing();
  OriginAnswer answer{.headers = head.headers, .url = head.url, .length = head.content_length};
  if (writer_ == nullptr) {
    download_.answered(answer, content);
  } else if (!download_.begin_again(answer, content)) {
    return refuse({.kind = Failure::Kind::unavailable,
                   .message = "the origin broke off and cannot go on where it was"});
  }
  origin_limit_ = fetchers_.limits.of_origin(head.url.origin());
  answer_ = std::move(answer);
  whole_size_ = head.content_length;
  writer_ = *std::move(writer);
  content_ = std::move(content);
  told_ = 0;
  // The first bytes are told at once, if they are no few that would have to be flushed.
  told_at_ = fetchers_.parts.clock.steady_now() - kToldInterval;
  return {};
}

Result<void> BodySink::go_on(const net::ResponseHead& head) {
  const auto rest = parse_rest(value_of(head.headers, "Content-Range"), answer_.length);
  // Not every origin that knows Range knows If-Range, too.
  if (!rest || rest->start != writer_->size() || !is_of_the_same(answer_.headers, head.headers) ||
      head.content_length.value_or(rest->size - rest->start) != rest->size - rest->start) {
    return refuse({.kind = Failure::Kind::unavailable,
                   .message = "the origin broke off and went on somewhere else"});
  }
  whole_size_ = rest->size;
  return {};
}

bool BodySink::pace(ByteCount bytes) {
  const std::stop_token stop = download_.stop_token();
  for (const RateLimits::Share& limit : {fetchers_.limits.all(), origin_limit_}) {
    if (limit && !limit->take(bytes, stop)) {
      return false;
    }
  }
  return !stop.stop_requested() && !download_.abandoned();
}

Result<void> BodySink::write(ByteSpan bytes) {
  const ByteCount size_max = download_.request().size_max;
  if (writer_->size() + bytes.size() > size_max) {
    return refuse({.kind = Failure::Kind::too_large,
                   .message = "the body is larger than " + format_byte_count(size_max)});
  }
  if (whole_size_ && writer_->size() + bytes.size() > *whole_size_) {
    return refuse(
        {.kind = Failure::Kind::unavailable, .message = "the origin sent more than it said"});
  }
  if (!pace(bytes.size())) {
    return refuse({.kind = Failure::Kind::unavailable, .message = "the download was stopped"});
  }
  if (const auto written = writer_->write(bytes); !written) {
    return refuse_storage(written.error());
  }
  return tell();
}

/// Lets those who wait know of what has come, now and then.
Result<void> BodySink::tell() {
  const SteadyTime now = fetchers_.parts.clock.steady_now();
  const ByteCount fresh = writer_->size() - told_;
  const bool slow = fresh < kSlowStep;
  if (fresh < kToldStep && now - told_at_ < (slow ? kSlowInterval : kToldInterval)) {
    return {};
  }
  if (slow) {
    if (const auto flushed = writer_->flush(); !flushed) {
      return refuse_storage(flushed.error());
    }
  }
  told_ = writer_->size();
  told_at_ = now;
  download_.grew();
  return {};
}

/// The next bytes may be long in coming: whoever waits is to have those that are here.
Result<void> BodySink::lull() {
  if (const auto flushed = writer_->flush(); !flushed) {
    return refuse_storage(flushed.error());
  }
  told_ = writer_->size();
  told_at_ = fetchers_.parts.clock.steady_now();
  download_.grew();
  return {};
}

std::optional<ResumePoint> BodySink::resume_point() const {
  if (!writer_ || writer_->size() == 0 || value_of(answer_.headers, "Accept-Ranges") == "none") {
    return std::nullopt;
  }
  std::string validator = strong_validator(answer_.headers);
  if (validator.empty()) {
    return std::nullopt;
  }
  return ResumePoint{writer_->size(), std::move(validator)};
}

} // namespace pkc::upstream
