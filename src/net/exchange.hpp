// Exchange: one request and its answer on one connection.
#pragma once

#include "connection.hpp"
#include "response_head.hpp"

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc::net {

struct ExchangeLimits {
  std::chrono::milliseconds idle{};
  ByteCount head_size_max = 0;
  std::size_t header_count_max = 0;
};

/// One thread at a time; the connection and the patience outlive it.
class Exchange {
 public:
  Exchange(Connection& connection, const Patience& patience, const ExchangeLimits& limits);

  /// Sends a request without body and reads the head of the answer; interim answers (1xx) are
  /// passed over. Errors: unavailable, timeout, io.
  Result<ParsedHead> ask(std::string_view request);

  /// Gives the body to `sink`, up to its end. Errors: unavailable (it is cut short or broken),
  /// timeout, io, and what the sink returns.
  Result<void> read_body(const Framing& framing, ByteSink& sink);

  /// What to do from now on when nothing comes for a while.
  void set_lull(Lull lull) { lull_ = std::move(lull); }

  /// How long a read may wait from now on.
  void set_idle(std::chrono::milliseconds idle) { limits_.idle = idle; }

  /// True when a byte of an answer has come.
  [[nodiscard]] bool is_answered() const { return answered_; }

  /// True when something came behind the end of the answer: the connection cannot be used further.
  [[nodiscard]] bool has_rest() const { return begin_ != end_; }

 private:
  [[nodiscard]] std::string_view rest() const;
  /// Reads more behind the rest, which has to be less than the buffer. False: the peer ended.
  Result<bool> fill();
  /// Returns when there is a rest. Errors also: unavailable when the peer ended, `where`.
  Result<void> need_input(std::string_view where);
  /// Takes a line with its end, behind those of the head before it.
  Result<void> read_line(std::string& head);
  /// Up to the empty line, which is part of it.
  Result<std::string> read_head_text();
  Result<void> read_counted(ByteCount length, ByteSink& sink);
  Result<void> read_chunked(ByteSink& sink);
  Result<void> read_to_close(ByteSink& sink);

  Connection& connection_;
  const Patience& patience_;
  ExchangeLimits limits_;
  std::optional<Lull> lull_;
  bool answered_ = false;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

} // namespace pkc::net
