#include "request_parser.hpp"

#include "text.hpp"

#include <httplib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <string>

// Proved with 0.41.0; configuring says so when it finds a newer one. What we rely on:
// process_request() hands the parsed request to `setup_request` before it routes, and reads nothing
// behind the head unless the request announces a body. tests/unit/http pins both, for whatever
// version is built. (The number is a string in the library.)
static_assert(std::string_view(CPPHTTPLIB_VERSION_NUM) >= "0x002900",
              "cpp-httplib before 0.41 lacks limits that a server needs");
// Our own limits must be the ones that speak, with our statuses. The defines are on dep::httplib,
// since all users of a header-only library must agree on them.
static_assert(CPPHTTPLIB_HEADER_MAX_LENGTH >= 1024 * 1024);
static_assert(CPPHTTPLIB_MAX_LINE_LENGTH >= 1024 * 1024);
static_assert(CPPHTTPLIB_REQUEST_URI_MAX_LENGTH >= 1024 * 1024);
static_assert(CPPHTTPLIB_HEADER_MAX_COUNT >= 1000);

namespace pkc::http {

namespace {

/// Gives the library exactly one head, then end of stream; swallows what it writes, as the answer
/// is ours to write.
class HeadStream final : public httplib::Stream {
 public:
  explicit HeadStream(std::string_view text) : text_(text) {}

  bool is_readable() const override { return !text_.empty(); }
  bool wait_readable() const override { return true; }
  bool wait_writable() const override { return true; }
  ssize_t read(char* ptr, size_t size) override {
    const std::size_t count = std::min(size, text_.size());
    std::memcpy(ptr, text_.data(), count);
    text_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* /*ptr*/, size_t size) override { return static_cast<ssize_t>(size); }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return INVALID_SOCKET; }
  time_t duration() const override { return 0; }

 private:
  std::string_view text_;
};

/// Fields that the library must not see: it answers 416 to a Range it cannot parse, where RFC 9110
/// section 14.2 wants it ignored, and 400 to an Accept it cannot parse.
bool is_hidden(std::string_view name) {
  constexpr std::array<std::string_view, 2> kHidden{"Range", "Accept"};
  return std::ranges::any_of(
      kHidden, [&](std::string_view hidden) { return equals_ignoring_case(name, hidden); });
}

/// Larger heads are not remembered.
constexpr std::size_t kFrameMax = 2 * std::size_t{1024};
constexpr std::size_t kPlainTargetMax = 1024;

/// Whether a query is what encoders make: parameters of unreserved characters (RFC 3986
/// section 2.3) and whole percent-encodings. The library reads it and refuses none.
bool is_plain_query(std::string_view query) {
  constexpr CharSet kHex =
      CharSet("").with_range('0', '9').with_range('A', 'F').with_range('a', 'f');
  constexpr CharSet kPlain =
      CharSet("-._~&=").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');
  while (!query.empty()) {
    const bool encoded = query.front() == '%';
    const std::size_t size = encoded ? 3 : 1;
    if (query.size() < size ||
        !(encoded ? kHex.has_all(query.substr(1, 2)) : kPlain.has(query[0]))) {
      return false;
    }
    query.remove_prefix(size);
  }
  return true;
}

/// An absolute path without anything that is decoded or normalised, as most keys are, and a query
/// without surprises.
bool is_plain_target(std::string_view target) {
  constexpr CharSet kPlain =
      CharSet("/-_").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');
  const std::string_view path = target.substr(0, target.find('?'));
  return target.starts_with('/') && target.size() <= kPlainTargetMax && kPlain.has_all(path) &&
         is_plain_query(target.substr(std::min(path.size() + 1, target.size())));
}

/// The method as the library is told: it refuses those it does not know, WebDAV's among them,
/// whatever it is for.
std::string_view shown_method(const Head& head) {
  constexpr std::array<std::string_view, 8> kKnown{
      "GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE"};
  return std::ranges::find(kKnown, head.method) == kKnown.end() ? "POST" : head.method;
}

} // namespace

class RequestParser::Impl final : private httplib::Server {
 public:
  Impl() {
    svr_sock_ = 0; // an invalid one means "shutting down" to the library; it is never used
    setup_ = [this](httplib::Request& request) {
      reached_ = true;
      method_.swap(request.method);
      target_.swap(request.target);
      // What is left is a request with nothing to read, wait for or upgrade to.
      request.method = "GET";
      request.headers.clear();
    };
    set_pre_routing_handler([](const httplib::Request&, httplib::Response& response) {
      response.status = 204;
      return HandlerResponse::Handled;
    });
  }

  bool agrees(std::string_view head_bytes, const Head& head) {
    reached_ = false;
    HeadStream stream(visible_part(head_bytes, head));
    bool connection_closed = false;
    process_request(stream, nowhere_, 0, nowhere_, 0, false, connection_closed, setup_);
    return reached_ && method_ == shown_method(head) && target_ == head.target;
  }

 private:
  std::string_view visible_part(std::string_view head_bytes, const Head& head) {
    const bool any_hidden = std::ranges::any_of(
        head.fields, [](const HeadField& field) { return is_hidden(field.name); });
    // Empty lines before the request line are legal, but the library takes one for the line itself.
    const auto start = static_cast<std::size_t>(head.method.data() - head_bytes.data());
    const std::string_view method = shown_method(head);
    if (!any_hidden && method == head.method) {
      return head_bytes.substr(start);
    }
    const std::size_t target = start + head.method.size();
    const std::size_t line_end = head_bytes.find("\r\n", target);
    visible_.assign(method);
    visible_.append(head_bytes.substr(target, line_end + 2 - target));
    for (const HeadField& field : head.fields) {
      if (!is_hidden(field.name)) {
        visible_.append(field.name).append(": ").append(field.value).append("\r\n");
      }
    }
    visible_ += "\r\n";
    return visible_;
  }

  const std::string nowhere_;
  std::function<void(httplib::Request&)> setup_;
  std::string visible_;
  std::string method_;
  std::string target_;
  bool reached_ = false;
};

RequestParser::RequestParser() : impl_(std::make_unique<Impl>()) {}
RequestParser::~RequestParser() = default;

bool RequestParser::agrees(std::string_view head_bytes, const Head& head) {
  const auto target = static_cast<std::size_t>(head.target.data() - head_bytes.data());
  const std::string_view before = head_bytes.substr(0, target);
  const std::string_view behind = head_bytes.substr(target + head.target.size());
  const bool plain = before.size() + behind.size() <= kFrameMax && is_plain_target(head.target);
  if (plain && std::ranges::any_of(agreed_, [&](const Frame& frame) {
        return frame.behind == behind && frame.before == before;
      })) {
    return true;
  }
  ++asked_;
  if (!impl_->agrees(head_bytes, head)) {
    return false;
  }
  if (plain) {
    Frame& frame = agreed_[oldest_];
    frame.before = before;
    frame.behind = behind;
    oldest_ = (oldest_ + 1) % agreed_.size();
  }
  return true;
}

} // namespace pkc::http
