// SmallFile: the bytes of a small file in memory, for those who read it again and again.
#pragma once

#include "pkc/base/file_system.hpp"
#include "pkc/store/sidecar.hpp"

#include <memory>
#include <string>
#include <utility>

namespace pkc::store {

/// A File whose bytes were read once. It takes no descriptor. Thread-safe, as it never changes.
class SmallFile final : public File {
 public:
  /// REQUIRES: `bytes` is the whole of the file that was `opened`.
  SmallFile(std::string bytes, const FileStat& opened)
      : bytes_(std::move(bytes)), opened_(opened) {}

  Result<std::size_t> read_at(ByteCount offset, MutableByteSpan buffer) override;
  Result<void> write(ByteSpan bytes) override;
  void begin_sync() override {}
  Result<void> sync() override { return {}; }
  [[nodiscard]] FileStat opened_stat() const override { return opened_; }
  [[nodiscard]] int descriptor() const override { return -1; }

 private:
  const std::string bytes_;
  const FileStat opened_;
};

/// The bytes of `file`, which `sidecar` describes; `file` itself when they cannot be had or are not
/// what the sidecar says, for whoever reads it next to find out.
std::shared_ptr<File> read_small_file(std::shared_ptr<File> file, const Sidecar& sidecar);

} // namespace pkc::store
