// X-Request-Id: one name for a request in the client's log, a proxy's, and ours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pkc::http {

inline constexpr std::string_view kRequestIdField = "X-Request-Id";

/// Whether we take over what a client calls its request: 1 to 128 letters, digits, '.', '_' or '-'.
/// Such a text needs no quotes in any log and is no burden in one.
bool is_request_id(std::string_view text);

/// Makes ids that nobody else has, for requests that come without. They are unique, not secret. One
/// thread at a time.
class RequestIds {
 public:
  /// Seeded by the system's randomness, as each worker of each process needs ids of its own.
  RequestIds();
  explicit RequestIds(std::uint64_t seed) : state_{seed, 0} {}

  /// 24 hex digits; they live until the next call.
  std::string_view next();

 private:
  static constexpr std::size_t kLength = 24;
  std::array<std::uint64_t, 2> state_{}; ///< where the sequence begins, and how far it has come
  std::array<char, kLength> text_{};
};

} // namespace pkc::http
