// RequestParser: cpp-httplib's reading of a request head, as a second opinion on ours.
#pragma once

#include "head.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pkc::http {

/// Lets cpp-httplib parse a head that scan_head() found complete, and compares. A request is served
/// only when both read the same: two independent parsers that agree leave little room for a head
/// that a proxy in front of us understands differently. One thread at a time; made once a worker.
class RequestParser {
 public:
  RequestParser();
  RequestParser(const RequestParser&) = delete;
  RequestParser& operator=(const RequestParser&) = delete;
  RequestParser(RequestParser&&) = delete;
  RequestParser& operator=(RequestParser&&) = delete;
  ~RequestParser();

  /// False when the library refuses the head or reads another method or target. `head_bytes` are
  /// the head.size bytes that `head` was scanned from. Does no I/O.
  ///
  /// A client's heads are mostly the same bytes around another target. When the library has agreed
  /// on exactly these bytes before, and the target is made of nothing but what no parser treats
  /// specially, it is not asked again.
  bool agrees(std::string_view head_bytes, const Head& head);
  /// How many heads the library was asked about.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }

 private:
  class Impl;
  /// The bytes before and behind the target of a head that the library has agreed on.
  struct Frame {
    std::string before;
    std::string behind;
  };
  std::unique_ptr<Impl> impl_;
  std::array<Frame, 8> agreed_; ///< empty ones match nothing, since no head is empty
  std::size_t oldest_ = 0;
  std::uint64_t asked_ = 0;
};

} // namespace pkc::http
