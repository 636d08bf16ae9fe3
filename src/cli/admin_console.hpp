// AdminConsole: what the commands of operators share: whom to ask, and what to print when that
// fails.
#pragma once

#include "commands.hpp"
#include "progress.hpp"

#include "pkc/app/administration.hpp"
#include "pkc/base/file_system.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/config/settings.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace pkc::cli {

/// One admin command, from its options to its exit code. One thread.
class AdminConsole {
 public:
  /// Ready to ask, or an exit code after the reason was printed: a wrong command line or setting is
  /// kExitUsage, anything else kExitFailed.
  static std::variant<AdminConsole, int> open(const Invocation& invocation, app::Use use);

  [[nodiscard]] bool json() const { return json_; }

  /// The answer when it is 200 or 202, or nothing after the reason was printed.
  std::optional<nlohmann::ordered_json> get(const std::string& target) {
    return ask("GET", target);
  }
  std::optional<nlohmann::ordered_json> ask(const std::string& method, const std::string& target);

  enum class Done : std::uint8_t {
    yes,
    absent,
    failed, ///< the reason was printed
  };
  /// For what is answered with 204 or 404.
  Done tell(const std::string& method, const std::string& target);

  /// PUT of a file, or GET into a sink. Nothing is left of the progress when they return.
  Done upload(const std::string& target, File& file, TransferProgress& progress);
  Done download(const std::string& target, ByteSink& sink, TransferProgress& progress);

  /// kExitUsage when a parameter was refused, else kExitFailed. Of the last request.
  [[nodiscard]] int failure() const { return failure_; }

 private:
  AdminConsole(std::unique_ptr<app::Administration> administration, bool json)
      : administration_(std::move(administration)), json_(json) {}
  std::optional<app::AdminAnswer> send(const std::string& method, const std::string& target);
  void refuse(const app::AdminAnswer& answer);
  Done judge(const Result<app::AdminAnswer>& answer, int good);

  std::unique_ptr<app::Administration> administration_;
  bool json_;
  int failure_ = 1;
};

/// The first line of a file: a token on the command line would be seen by everybody. Errors: io.
Result<std::string> read_token(const std::string& path);

/// A query made of options that were given: "?limit=5&prefix=ab". `names` are pairs of an option
/// and its parameter.
std::string query_of(const Arguments& arguments,
                     const std::vector<std::pair<std::string_view, std::string_view>>& names);

/// Percent-encodes everything but letters and digits.
std::string encode(std::string_view text);

/// Columns of a width that fits; those of `right` are aligned to the right.
std::string table_of(const std::vector<std::vector<std::string>>& rows,
                     const std::vector<bool>& right);

} // namespace pkc::cli
