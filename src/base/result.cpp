#include "pkc/base/result.hpp"

#include <cerrno>
#include <system_error>

namespace pkc {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::invalid_argument:
      return "invalid_argument";
    case Errc::unauthorized:
      return "unauthorized";
    case Errc::conflict:
      return "conflict";
    case Errc::too_large:
      return "too_large";
    case Errc::unavailable:
      return "unavailable";
    case Errc::timeout:
      return "timeout";
    case Errc::corrupt:
      return "corrupt";
    case Errc::no_space:
      return "no_space";
    case Errc::io:
      return "io";
  }
  std::unreachable();
}

Error Error::prefixed(std::string_view context) && {
  std::string text(context);
  text += ": ";
  text += message;
  return Error{code, std::move(text)};
}

std::unexpected<Error> fail(Errc code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

std::unexpected<Error> fail_errno(int error_number, std::string_view what) {
  const Errc code = error_number == ENOSPC || error_number == EDQUOT ? Errc::no_space : Errc::io;
  std::string text(what);
  text += ": ";
  text += std::generic_category().message(error_number);
  return fail(code, std::move(text));
}

} // namespace pkc
