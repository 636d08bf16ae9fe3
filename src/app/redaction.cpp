#include "redaction.hpp"

#include <cstddef>

namespace pkc::app {

namespace {

constexpr std::string_view kHidden = "***";

/// Everything up to the last '@' of an authority is user and password.
void append_path(std::string& out, std::string_view path) {
  constexpr std::string_view kBegin = "://";
  for (std::size_t at = path.find(kBegin); at != std::string_view::npos; at = path.find(kBegin)) {
    out += path.substr(0, at + kBegin.size());
    path.remove_prefix(at + kBegin.size());
    const std::size_t user = path.substr(0, path.find('/')).rfind('@');
    if (user != std::string_view::npos) {
      out += kHidden;
      path.remove_prefix(user);
    }
  }
  out += path;
}

/// A piece without '=' is hidden as a whole: it may be a token.
void append_query(std::string& out, std::string_view query) {
  for (bool more = true; more;) {
    const std::size_t end = query.find('&');
    const std::string_view piece = query.substr(0, end);
    const std::size_t equals = piece.find('=');
    if (equals != std::string_view::npos) {
      out += piece.substr(0, equals + 1);
    }
    out += piece.empty() ? piece : kHidden;
    more = end != std::string_view::npos;
    if (more) {
      out += '&';
      query.remove_prefix(end + 1);
    }
  }
}

} // namespace

std::string_view redacted(std::string_view target, std::string& room) {
  // Twice a memchr(): find_first_of() would be one for each byte, for every request.
  if (!target.contains('?') && !target.contains('@')) {
    return target;
  }
  const std::size_t question = target.find('?');
  room.clear();
  append_path(room, target.substr(0, question));
  if (question != std::string_view::npos) {
    room += '?';
    append_query(room, target.substr(question + 1));
  }
  return room;
}

} // namespace pkc::app
