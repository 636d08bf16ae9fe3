// FetchLog: the lines of spec/fetch.md about each fetch.
#pragma once

#include "fetch/ask.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/ops/log.hpp"

#include <string>
#include <string_view>

namespace pkc::protocols::fetch {

/// Who asked for what, since when.
struct Asked {
  std::string_view source_url;
  std::string_view client;
  SteadyTime begun;
};

/// Thread-safe. A URL is logged without the values of its query, which may be credentials.
class FetchLog {
 public:
  FetchLog(ops::Log& log, const Clock& clock) : log_(log), clock_(clock) {}

  /// At debug: the access log has a line for each request already.
  void hit(const Asked& asked, ByteCount size) const;
  void downloaded(const Asked& asked, ByteCount size) const;
  void failed(const Asked& asked, std::string_view reason) const;

 private:
  [[nodiscard]] std::int64_t milliseconds_since(SteadyTime begun) const;

  ops::Log& log_;
  const Clock& clock_;
};

} // namespace pkc::protocols::fetch
