// Workload: which requests a run sends and which answers are right.
#pragma once

#include "bench/upload.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::bench {

enum class Mode : std::uint8_t {
  get,
  head,
  miss,
  put
};

/// Nothing for an unknown name.
std::optional<Mode> parse_mode(std::string_view name);

struct WorkloadOptions {
  Mode mode = Mode::get;
  std::string host;               ///< value of the Host field
  std::string header;             ///< get, head and miss: one more line, or nothing
  std::vector<std::string> paths; ///< get and head: taken in turn
  std::optional<ByteCount> size; ///< get and head: of every object, or any; put: of the output file
  std::uint64_t seed = 0;        ///< of the keys of miss and put
};

/// An endless sequence of requests. One thread at a time.
class Workload {
 public:
  /// Errors: invalid_argument when get or head has no path.
  static Result<Workload> make(WorkloadOptions options);

  /// The next request's head (and, for put, the beginning of its body) into `head`.
  void next(std::string& head);

  /// What follows every head; lives as long as the workload.
  [[nodiscard]] std::string_view tail() const { return upload_ ? upload_->tail() : ""; }
  /// Bytes of body sent with each request.
  [[nodiscard]] ByteCount upload_size() const { return upload_ ? upload_->body_size() : 0; }

  /// The only right status.
  [[nodiscard]] int expected_status() const;
  /// The only right Content-Length; nothing when any is right.
  [[nodiscard]] std::optional<ByteCount> expected_length() const;
  /// Whether answers carry the bytes that their Content-Length announces.
  [[nodiscard]] bool answers_have_body() const { return options_.mode != Mode::head; }

 private:
  explicit Workload(WorkloadOptions options);

  WorkloadOptions options_;
  std::vector<std::string> heads_;
  std::optional<UploadTemplate> upload_;
  std::uint64_t index_ = 0;
};

} // namespace pkc::bench
