// Result<T>, Error and the two macros that propagate them.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc {

/// What kind of failure an Error is; callers branch on this and on nothing else. Absence is not an
/// error: lookups return Result<std::optional<T>> or a null pointer.
enum class Errc {
  invalid_argument, ///< the caller's data is wrong; retrying cannot help
  unauthorized,     ///< a rule of this server forbids it; retrying cannot help
  conflict,         ///< the object exists already and may not be replaced
  too_large,        ///< a configured size or count limit was exceeded
  unavailable,      ///< cannot be served now (limits reached, peer gone); retrying may help
  timeout,          ///< the deadline passed
  corrupt,          ///< stored data does not match its recorded digest, size or format
  no_space,         ///< the storage is full (ENOSPC, EDQUOT)
  io,               ///< any other failure of the operating system
};

/// The name of the enumerator, for logs.
std::string_view to_string(Errc code);

/// A failure: a code to branch on and a message for the operator's log. Messages of the codes
/// invalid_argument, unauthorized, conflict and too_large describe the caller's own input and may
/// be shown to it; all others may name paths or errno and must never leave the server.
struct Error {
  Errc code;
  std::string message;

  /// The same error with context put in front: "context: message".
  [[nodiscard]] Error prefixed(std::string_view context) &&;
};

template <typename T>
using Result = std::expected<T, Error>;

/// Makes the error arm of any Result.
[[nodiscard]] std::unexpected<Error> fail(Errc code, std::string message);

/// The error for a failed system call. `error_number` is errno, read on the line after the call;
/// ENOSPC and EDQUOT become no_space, everything else io. The message is "<what>: <strerror>".
[[nodiscard]] std::unexpected<Error> fail_errno(int error_number, std::string_view what);

} // namespace pkc

#define PKC_CONCAT_INNER(a, b) a##b
#define PKC_CONCAT(a, b) PKC_CONCAT_INNER(a, b)

/// Evaluates an expression of type Result<T> and returns its error from the enclosing function.
#define TRY(expression)                                      \
  do {                                                       \
    if (auto pkc_result = (expression); !pkc_result) {       \
      return std::unexpected(std::move(pkc_result).error()); \
    }                                                        \
  } while (false)

/// TRY_ASSIGN(auto x, expression): declares or assigns x from the value, or returns the error.
#define TRY_ASSIGN(declaration, expression) \
  TRY_ASSIGN_IMPL(PKC_CONCAT(pkc_result_, __LINE__), declaration, expression)
#define TRY_ASSIGN_IMPL(name, declaration, expression) \
  auto name = (expression);                            \
  if (!name) {                                         \
    return std::unexpected(std::move(name).error());   \
  }                                                    \
  declaration = std::move(*name)
