// Fuzz target: the head of an answer from any server, and what it says about the body.
#include "response_head.hpp"

#include "fuzz.hpp"

#include <algorithm>
#include <string_view>

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using pkc::fuzz::require;
  using pkc::net::BodyEnd;
  using pkc::net::FetchMethod;
  constexpr std::size_t kHeadersMax = 8;
  const auto head = pkc::net::parse_head(pkc::fuzz::text_of(data, size), kHeadersMax);
  if (!head) {
    require(head.error().code == pkc::Errc::unavailable);
    return 0;
  }
  require(head->status >= 100 && head->status <= 999);
  require(head->headers.fields().size() <= kHeadersMax);
  for (const auto& [name, value] : head->headers.fields()) {
    require(!name.empty() && name.find_first_of(": \t\r\n") == std::string::npos);
    // It may be sent on: nothing may end a line there.
    require(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  const auto framing = pkc::net::framing_of(FetchMethod::get, *head);
  const auto of_head = pkc::net::framing_of(FetchMethod::head, *head);
  require(!of_head || of_head->end == BodyEnd::none);
  if (framing) {
    require(framing->end != BodyEnd::close || !framing->keeps_connection);
    require(framing->end != BodyEnd::length || framing->announced == framing->length);
    require(framing->end != BodyEnd::chunked || !framing->announced);
  }
  const auto location = pkc::net::redirect_target(*head);
  require(!location || (head->status >= 301 && head->status <= 308));
  return 0;
}
