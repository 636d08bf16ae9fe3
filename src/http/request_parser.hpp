// RequestParser: cpp-httplib's reading of a request head, as a second opinion on ours.
#pragma once

#include "head.hpp"

#include <memory>
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
  bool agrees(std::string_view head_bytes, const Head& head);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace pkc::http
