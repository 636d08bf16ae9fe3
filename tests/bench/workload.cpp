#include "bench/workload.hpp"

#include <utility>

namespace pkc::bench {

namespace {

constexpr std::string_view kMissPrefix = "e0";
constexpr std::string_view kPutPrefix = "f0";

std::string request_head(std::string_view method,
                         std::string_view path,
                         const WorkloadOptions& options) {
  std::string head(method);
  head.append(" ").append(path).append(" HTTP/1.1\r\nHost: ").append(options.host).append("\r\n");
  if (!options.header.empty()) {
    head.append(options.header).append("\r\n");
  }
  return head.append("\r\n");
}

} // namespace

std::optional<Mode> parse_mode(std::string_view name) {
  if (name == "get") {
    return Mode::get;
  }
  if (name == "head") {
    return Mode::head;
  }
  if (name == "miss") {
    return Mode::miss;
  }
  if (name == "put") {
    return Mode::put;
  }
  return std::nullopt;
}

Result<Workload> Workload::make(WorkloadOptions options) {
  const bool needs_paths = options.mode == Mode::get || options.mode == Mode::head;
  if (needs_paths && options.paths.empty()) {
    return fail(Errc::invalid_argument, "modes get and head need --path or --paths");
  }
  return Workload(std::move(options));
}

Workload::Workload(WorkloadOptions options) : options_(std::move(options)) {
  const std::string_view method = options_.mode == Mode::head ? "HEAD" : "GET";
  for (const std::string& path : options_.paths) {
    heads_.push_back(request_head(method, path, options_));
  }
  if (options_.mode == Mode::put) {
    upload_.emplace(options_.host, options_.size.value_or(0));
  }
}

void Workload::next(std::string& head) {
  const std::uint64_t index = index_++;
  switch (options_.mode) {
    case Mode::get:
    case Mode::head:
      head = heads_[index % heads_.size()];
      return;
    case Mode::miss:
      head = request_head(
          "GET", "/v1/artifacts/" + make_key(kMissPrefix, options_.seed, index), options_);
      return;
    case Mode::put:
      if (upload_) {
        upload_->render(make_key(kPutPrefix, options_.seed, index), head);
      }
      return;
  }
}

int Workload::expected_status() const {
  switch (options_.mode) {
    case Mode::get:
    case Mode::head:
      return 200;
    case Mode::miss:
      return 404;
    case Mode::put:
      return 201;
  }
  return 0;
}

std::optional<ByteCount> Workload::expected_length() const {
  switch (options_.mode) {
    case Mode::get:
    case Mode::head:
      return options_.size;
    case Mode::miss:
    case Mode::put:
      return std::nullopt;
  }
  return std::nullopt;
}

} // namespace pkc::bench
