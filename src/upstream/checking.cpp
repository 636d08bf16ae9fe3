#include "checking.hpp"

#include <string_view>

namespace pkc::upstream {

namespace {

constexpr int kOk = 200;
constexpr int kNotModified = 304;

/// Hears the beginning of the answer and hangs up.
class FirstWord final : public net::ResponseSink {
 public:
  explicit FirstWord(const CheckRequest& request) : request_(request) {}

  Result<void> head(const net::ResponseHead& head) override {
    if (head.status == kNotModified) {
      checked_ = Checked::same;
    } else if (head.status == kOk) {
      checked_ = compare(head.headers);
    }
    return fail(Errc::conflict, "nobody wants the body");
  }
  Result<void> write(ByteSpan /*bytes*/) override {
    return fail(Errc::conflict, "nobody wants the body");
  }

  [[nodiscard]] Checked checked() const { return checked_; }

 private:
  /// An origin that ignores conditions may tell by its validators all the same.
  [[nodiscard]] Checked compare(const HttpHeaders& headers) const {
    const std::string_view etag = headers.get("ETag").value_or("");
    const std::string_view modified = headers.get("Last-Modified").value_or("");
    if (!etag.empty() && !request_.etag.empty()) {
      return etag == request_.etag ? Checked::same : Checked::changed;
    }
    if (!modified.empty() && !request_.last_modified.empty()) {
      return modified == request_.last_modified ? Checked::same : Checked::changed;
    }
    return Checked::unknown;
  }

  const CheckRequest& request_;
  Checked checked_ = Checked::unknown;
};

} // namespace

Checked ask_again(const Fetchers& fetchers,
                  const CheckRequest& request,
                  const std::stop_token& stop) {
  net::FetchRequest fetch{.url = request.url,
                          .headers = {},
                          .deadline = fetchers.parts.clock.steady_now() + fetchers.options.timeout,
                          .stop = stop};
  if (!request.etag.empty()) {
    fetch.headers.set("If-None-Match", request.etag);
  }
  if (!request.last_modified.empty()) {
    fetch.headers.set("If-Modified-Since", request.last_modified);
  }
  FirstWord sink(request);
  static_cast<void>(fetchers.parts.client.fetch(fetch, sink)); // the sink knows all there is
  return sink.checked();
}

} // namespace pkc::upstream
