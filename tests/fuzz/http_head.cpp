// Fuzz target: the head of a request, all at once and byte by byte.
#include "fuzz.hpp"
#include "head.hpp"

#include <string>

namespace {

using pkc::http::Head;
using pkc::http::HeadScan;
using pkc::http::HeadState;

bool lies_inside(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_complete(const Head& head, std::string_view input) {
  const std::string_view read = input.substr(0, head.size);
  pkc::fuzz::require(head.size <= input.size() && read.ends_with("\r\n\r\n"));
  pkc::fuzz::require(lies_inside(head.method, read) && lies_inside(head.target, read));
  pkc::fuzz::require(head.path == "*" || head.path.starts_with('/'));
  pkc::fuzz::require(!head.path.starts_with("//") && !head.path.contains('?'));
  pkc::fuzz::require(!(head.chunked && head.content_length));
  for (const auto& [name, value] : head.fields) {
    pkc::fuzz::require(lies_inside(name, read) && lies_inside(value, read) && !name.empty());
    pkc::fuzz::require(value.find_first_of(std::string_view("\r\n\0", 3)) == value.npos);
    pkc::fuzz::require(!value.starts_with(' ') && !value.ends_with(' '));
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input = pkc::fuzz::text_of(data, size);
  const pkc::http::HeadLimits limits{
      .head_size_max = 2048, .target_size_max = 512, .fields_max = 20};
  Head whole;
  const HeadScan at_once = pkc::http::scan_head(input, 0, limits, whole);
  if (at_once.state == HeadState::complete) {
    check_complete(whole, input);
  } else if (at_once.state == HeadState::refused) {
    pkc::fuzz::require(at_once.status >= 400 && at_once.status < 600 && !at_once.message.empty());
  }

  // The pieces in which a head arrives may only decide how early it is refused.
  Head grown;
  HeadScan scan;
  for (std::size_t end = 0; end <= size && scan.state == HeadState::needs_more; ++end) {
    scan = pkc::http::scan_head(input.substr(0, end), end == 0 ? 0 : end - 1, limits, grown);
  }
  pkc::fuzz::require(scan.state == at_once.state ||
                     (at_once.state == HeadState::needs_more && scan.state == HeadState::refused));
  if (scan.state == HeadState::complete) {
    pkc::fuzz::require(grown.size == whole.size && grown.target == whole.target);
    pkc::fuzz::require(grown.fields.size() == whole.fields.size());
    pkc::fuzz::require(grown.content_length == whole.content_length);
    pkc::fuzz::require(grown.chunked == whole.chunked && grown.keep_alive == whole.keep_alive);
  }
  return 0;
}
