// The header fields of an HTTP message: of those we answer (http) and of those we send (net).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pkc {

/// Ordered, case-insensitive header fields. One thread at a time.
class HttpHeaders {
 public:
  /// The first value of `name`, or nothing. The view lives until the headers change.
  [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;
  void add(std::string_view name, std::string_view value);
  /// Replaces every field of that name.
  void set(std::string_view name, std::string_view value);
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& fields() const {
    return fields_;
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

} // namespace pkc
