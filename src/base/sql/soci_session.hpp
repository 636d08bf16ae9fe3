// A Session on SOCI. Together with the engines' files the only place that sees SOCI, and where its
// exceptions end.
#pragma once

#include "pkc/base/sql.hpp"

#include <soci/soci.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pkc::sql {

/// What an exception of one engine means. Called inside a catch block with what was caught.
using Classify = Errc (*)(const std::exception& error);

/// Runs `action`, which gives a Result, and turns what SOCI throws into an Error.
template <typename Action>
auto guarded(Classify classify, const Action& action) -> decltype(action()) {
  try {
    return action();
  } catch (const soci::soci_error& error) {
    // what() would add the statement with all values to it, and keys are nobody's business.
    return fail(classify(error), error.get_error_message());
  } catch (const std::exception& error) {
    return fail(classify(error), error.what());
  }
}

class SociSession final : public Session {
 public:
  SociSession(std::unique_ptr<soci::session> session, Engine engine, Classify classify);
  ~SociSession() override;

  Result<std::uint64_t> run(const Query& query, Values values) override;
  Result<void> each(const Query& query, Values values, const Take& take) override;
  Result<void> execute(std::string_view text) override;
  Result<void> prepare(const Query& query) override;
  [[nodiscard]] Engine engine() const override { return engine_; }

 private:
  class Prepared;

  Prepared& prepared(const Query& query);
  /// A statement that failed half-way may hold locks until it is gone.
  void forget(const Query& query);

  std::unique_ptr<soci::session> session_;
  Engine engine_;
  Classify classify_;
  // Behind the session: a connection is not closed while it has statements.
  std::unordered_map<const Query*, std::unique_ptr<Prepared>> statements_;
};

/// Engine by engine.
Result<std::unique_ptr<Session>> connect_sqlite(const Options& options);

} // namespace pkc::sql
