// FileWarmer: has the server download one file after the other.
#pragma once

#include "pkc/app/warming.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/config/manifest.hpp"
#include "pkc/net/session.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace pkc::app {

/// The request target that asks for a file with its checksums. Pure.
std::string fetch_target(const config::ManifestFile& file, Refresh refresh);

/// One thread. What it is made with outlives it.
class FileWarmer {
 public:
  /// Waits. False: no more is to be asked.
  using Pause = std::function<bool(std::chrono::milliseconds)>;
  /// `received` grows by what comes.
  FileWarmer(net::Session& session,
             const WarmOptions& options,
             std::atomic<ByteCount>& received,
             Pause pause);

  /// Blocks until the server has it or has said why not.
  WarmedFile warm(const config::ManifestFile& file);
  /// Whether the last failure is one that every other file would have.
  [[nodiscard]] bool is_hopeless() const { return hopeless_; }

 private:
  class Discard;
  Result<net::SessionAnswer> ask(const std::string& method,
                                 const std::string& target,
                                 Discard& sink);
  [[nodiscard]] std::optional<std::chrono::milliseconds> delay_before_next(
      const Result<net::SessionAnswer>& answer, unsigned attempt) const;
  std::optional<WarmedFile> look(const std::string& target);
  WarmedFile download(const std::string& target);
  WarmedFile failed(const Error& error);
  WarmedFile refused(net::SessionAnswer answer);

  net::Session& session_;
  const WarmOptions& options_;
  std::atomic<ByteCount>& received_;
  Pause pause_;
  bool hopeless_ = false;
};

} // namespace pkc::app
