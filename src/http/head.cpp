#include "head.hpp"

#include "text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace pkc::http {

namespace {

constexpr std::size_t kEmptyLinesMax = 4;  ///< before the request line, RFC 9112 section 2.2
constexpr std::size_t kMethodSizeMax = 32; ///< of any method, for the early size check

constexpr CharSet kDigits("0123456789");
constexpr CharSet kFieldValueChars = CharSet("\t").with_range(0x20, 0x7E).with_range(0x80, 0xFF);
/// Printable ASCII but '#': a fragment never goes over the wire.
constexpr CharSet kTargetChars = CharSet("!\"").with_range(0x24, 0x7E);
/// uri-host and port of RFC 3986, IP literals included.
constexpr CharSet kHostChars =
    CharSet("-._~%!$&'()*+,;=:[]").with_range('0', '9').with_range('A', 'Z').with_range('a', 'z');

constexpr HeadScan kNeedsMore{HeadState::needs_more, 0, {}};
constexpr HeadScan kComplete{HeadState::complete, 0, {}};

constexpr HeadScan refuse(int status, std::string_view message) {
  return {HeadState::refused, status, message};
}

struct HeadEnd {
  HeadScan scan;
  std::size_t end = 0; ///< behind the blank line
};

/// Looks for the blank line behind `start`, from `from` on.
HeadEnd find_end(std::string_view bytes, std::size_t start, std::size_t from) {
  for (std::size_t lf = bytes.find('\n', from); lf != std::string_view::npos;
       lf = bytes.find('\n', lf + 1)) {
    if (lf == 0 || bytes[lf - 1] != '\r') {
      return {refuse(400, "a line must end with CRLF")};
    }
    if (lf >= start + 3 && bytes[lf - 2] == '\n') {
      return {kComplete, lf + 1};
    }
  }
  return {kNeedsMore};
}

/// What can be refused although the end has not come yet.
HeadScan check_unfinished(std::string_view bytes, const HeadLimits& limits) {
  if (!bytes.empty() && !kTokenChars.has(bytes.front())) {
    return refuse(400, "malformed request line");
  }
  const bool in_first_line = bytes.find('\n') == std::string_view::npos;
  if (in_first_line && bytes.size() > limits.target_size_max + kMethodSizeMax) {
    return refuse(414, "the request target is too long");
  }
  if (bytes.size() >= limits.head_size_max) {
    return refuse(431, "the request head is too large");
  }
  return kNeedsMore;
}

HeadScan parse_version(std::string_view version, Head& head) {
  const bool well_formed = version.size() == 8 && version.starts_with("HTTP/") &&
                           kDigits.has(version[5]) && version[6] == '.' && kDigits.has(version[7]);
  if (!well_formed) {
    return refuse(400, "malformed request line");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return refuse(505, "this server speaks HTTP/1.1 and HTTP/1.0");
  }
  head.is_http_1_0 = version.back() == '0';
  return kComplete;
}

HeadScan parse_target(Head& head) {
  std::string_view rest = head.target;
  if (rest == "*") {
    head.path = rest;
    return head.method == "OPTIONS" ? kComplete : refuse(400, "malformed request target");
  }
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (equals_ignoring_case(rest.substr(0, scheme.size()), scheme)) {
      rest.remove_prefix(scheme.size());
      const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
      if (authority.empty() || !kHostChars.has_all(authority)) {
        return refuse(400, "malformed request target");
      }
      rest.remove_prefix(authority.size());
      if (!rest.starts_with('/')) { // "http://host" and "http://host?query"
        head.path = "/";
        head.query = rest.empty() ? rest : rest.substr(1);
        return kComplete;
      }
      break;
    }
  }
  if (!rest.starts_with('/')) {
    return refuse(400, "malformed request target");
  }
  const std::size_t question = rest.find('?');
  head.path = rest.substr(0, question);
  head.query = question == std::string_view::npos ? std::string_view{} : rest.substr(question + 1);
  while (head.path.starts_with("//")) {
    head.path.remove_prefix(1);
  }
  return kComplete;
}

HeadScan parse_request_line(std::string_view line, const HeadLimits& limits, Head& head) {
  const std::size_t first_space = line.find(' ');
  const std::size_t second_space =
      first_space == std::string_view::npos ? first_space : line.find(' ', first_space + 1);
  if (second_space == std::string_view::npos) {
    return refuse(400, "malformed request line");
  }
  const std::string_view method = line.substr(0, first_space);
  const std::string_view target = line.substr(first_space + 1, second_space - first_space - 1);
  if (!is_token(method) || target.empty() || !kTargetChars.has_all(target)) {
    return refuse(400, "malformed request line");
  }
  head.method = method;
  head.target = target;
  if (const HeadScan version = parse_version(line.substr(second_space + 1), head);
      version.state == HeadState::refused) {
    return version;
  }
  if (target.size() > limits.target_size_max) {
    return refuse(414, "the request target is too long");
  }
  // Any other method is for the routes to know: where there is one for the path the answer is 405
  // with Allow, which helps more than the 501 that RFC 9110 section 9.1 would allow. CONNECT has a
  // target of another form.
  if (method.size() > kMethodSizeMax || method == "CONNECT") {
    return refuse(501, "unknown method");
  }
  return parse_target(head);
}

/// What several fields say together; checked when all have been seen.
struct Framing {
  std::size_t hosts = 0;
  std::size_t lengths = 0;
  bool has_coding = false;     ///< any Transfer-Encoding
  bool unknown_coding = false; ///< one that is not chunked
  bool chunked_last = false;
  std::size_t chunked_count = 0;
  bool connection_close = false;
  bool connection_keep_alive = false;
};

HeadScan parse_content_length(std::string_view value, Framing& framing, Head& head) {
  ByteCount length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  // from_chars takes a minus sign for no unsigned type, but a list or blanks would be left over.
  if (++framing.lengths > 1 || value.empty() || !kDigits.has_all(value) || error != std::errc{} ||
      length > (~ByteCount{0} >> 1U)) {
    return refuse(400, "malformed or repeated Content-Length");
  }
  head.content_length = length;
  return kComplete;
}

void parse_transfer_encoding(std::string_view value, Framing& framing) {
  framing.has_coding = true;
  do {
    const std::string_view coding = take_list_element(value);
    framing.chunked_last = equals_ignoring_case(coding, "chunked");
    framing.chunked_count += framing.chunked_last ? 1 : 0;
    framing.unknown_coding = framing.unknown_coding || !framing.chunked_last;
  } while (!value.empty());
}

void parse_connection(std::string_view value, Framing& framing) {
  while (!value.empty()) {
    const std::string_view option = take_list_element(value);
    framing.connection_close = framing.connection_close || equals_ignoring_case(option, "close");
    framing.connection_keep_alive =
        framing.connection_keep_alive || equals_ignoring_case(option, "keep-alive");
  }
}

/// The fields that decide how the connection goes on. The length is compared first, as most fields
/// are none of these.
HeadScan note_field(const HeadField& field, Framing& framing, Head& head) {
  switch (field.name.size()) {
    case 4:
      if (equals_ignoring_case(field.name, "Host")) {
        ++framing.hosts;
        return kHostChars.has_all(field.value) ? kComplete : refuse(400, "malformed Host");
      }
      break;
    case 6:
      if (equals_ignoring_case(field.name, "Expect")) {
        head.expects_continue = equals_ignoring_case(field.value, "100-continue");
        return head.expects_continue ? kComplete : refuse(417, "unknown expectation");
      }
      break;
    case 10:
      if (equals_ignoring_case(field.name, "Connection")) {
        parse_connection(field.value, framing);
      }
      break;
    case 14:
      if (equals_ignoring_case(field.name, "Content-Length")) {
        return parse_content_length(field.value, framing, head);
      }
      break;
    case 17:
      if (equals_ignoring_case(field.name, "Transfer-Encoding")) {
        parse_transfer_encoding(field.value, framing);
      }
      break;
    default:
      break;
  }
  return kComplete;
}

HeadScan parse_field(std::string_view line, HeadField& field) {
  if (line.front() == ' ' || line.front() == '\t') {
    return refuse(400, "a header field must not be folded");
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    return refuse(400, "malformed header field name");
  }
  field = {line.substr(0, colon), trim_ows(line.substr(colon + 1))};
  return kFieldValueChars.has_all(field.value) ? kComplete
                                               : refuse(400, "malformed header field value");
}

HeadScan check_framing(const Framing& framing, Head& head) {
  if (framing.hosts > 1 || (framing.hosts == 0 && !head.is_http_1_0)) {
    return refuse(400, "exactly one Host is required");
  }
  if (framing.has_coding) {
    if (head.is_http_1_0 || framing.lengths > 0) {
      return refuse(400, "Transfer-Encoding is not allowed here");
    }
    if (framing.chunked_count > 1 || (framing.chunked_count == 1 && !framing.chunked_last)) {
      return refuse(400, "chunked must be the last transfer coding");
    }
    if (framing.unknown_coding) {
      return refuse(501, "unknown transfer coding");
    }
    head.chunked = true;
  }
  if (head.is_http_1_0) {
    head.expects_continue = false; // RFC 9110 section 10.1.1
  }
  head.keep_alive =
      !framing.connection_close && (!head.is_http_1_0 || framing.connection_keep_alive);
  return kComplete;
}

HeadScan parse_head(std::string_view text, const HeadLimits& limits, Head& head) {
  const std::size_t first_line_end = text.find("\r\n");
  HeadScan scan = parse_request_line(text.substr(0, first_line_end), limits, head);
  Framing framing;
  std::string_view rest = text.substr(first_line_end + 2);
  while (scan.state == HeadState::complete && rest != "\r\n") {
    const std::size_t line_end = rest.find("\r\n");
    HeadField field;
    scan = parse_field(rest.substr(0, line_end), field);
    if (scan.state == HeadState::complete && head.fields.size() == limits.fields_max) {
      scan = refuse(431, "too many header fields");
    }
    if (scan.state == HeadState::complete) {
      head.fields.push_back(field);
      scan = note_field(field, framing, head);
    }
    rest.remove_prefix(line_end + 2);
  }
  return scan.state == HeadState::complete ? check_framing(framing, head) : scan;
}

void clear(Head& head) {
  std::vector<HeadField> fields = std::move(head.fields); // keeps its memory
  fields.clear();
  head = Head{};
  head.fields = std::move(fields);
}

} // namespace

HeadScan scan_head(std::string_view bytes,
                   std::size_t scanned,
                   const HeadLimits& limits,
                   Head& head) {
  clear(head);
  std::size_t start = 0;
  while (bytes.substr(start).starts_with("\r\n")) {
    start += 2;
    if (start > 2 * kEmptyLinesMax) {
      return refuse(400, "malformed request line");
    }
  }
  if (bytes.substr(start) == "\r") {
    return kNeedsMore;
  }
  const HeadEnd found = find_end(bytes, start, std::max(start, scanned));
  if (found.scan.state == HeadState::refused) {
    return found.scan;
  }
  if (found.scan.state == HeadState::needs_more) {
    return check_unfinished(bytes.substr(start), limits);
  }
  if (found.end - start > limits.head_size_max) {
    const bool long_target =
        bytes.find('\n', start) - start > limits.target_size_max + kMethodSizeMax;
    return long_target ? refuse(414, "the request target is too long")
                       : refuse(431, "the request head is too large");
  }
  head.size = found.end;
  return parse_head(bytes.substr(start, found.end - start), limits, head);
}

} // namespace pkc::http
