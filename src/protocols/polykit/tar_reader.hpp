// TarReader: walks a tar archive as its bytes arrive.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pkc::protocols::polykit {

constexpr std::size_t kTarBlockSize = 512;
/// The longest name that a GNU 'L' or 'K' record may give.
constexpr ByteCount kTarLongNameMax = 64 * kKiB;
/// The largest pax header that is read; global ones are skipped whatever their size.
constexpr ByteCount kTarPaxHeaderMax = 256 * kKiB;

enum class TarEntryType {
  regular,
  hard_link,
  symbolic_link,
  character_device,
  block_device,
  directory,
  fifo,
  other, ///< any other letter
};

/// One member of an archive. Names are the archive's own bytes: any encoding, never a NUL.
struct TarEntry {
  std::string path;
  std::string link_target;
  TarEntryType type = TarEntryType::regular;
  ByteCount size = 0;
};

/// Told of each member: begin, its bytes in pieces, end. An error ends the walk.
class TarVisitor {
 public:
  virtual ~TarVisitor() = default;
  virtual Result<void> begin_entry(const TarEntry& entry) = 0;
  virtual Result<void> entry_data(ByteSpan bytes) = 0;
  virtual Result<void> end_entry() = 0;
};

/// Reads old (v7), ustar, GNU and pax archives, as the tar library of the original server does (tar
/// 0.4.44 for Rust): numbers padded with blanks or NULs, base-256 sizes, GNU long names, pax
/// `path`, `linkpath` and `size`. Ends at the first block of zeros and ignores what follows;
/// missing end blocks are fine. One thread at a time; memory is constant.
///
/// Refused, because two readers could see two different archives: GNU sparse members, a member that
/// is named twice (long name and pax path), a pax size that contradicts the header, pax records
/// with a line break in them.
///
/// Errors: invalid_argument, too_large for names and pax headers beyond the limits, and whatever
/// the visitor returns.
class TarReader : public ByteSink {
 public:
  /// `visitor` outlives the reader.
  explicit TarReader(TarVisitor& visitor) : visitor_(visitor) {}

  Result<void> write(ByteSpan bytes) override;
  /// Call once at the end of the input. Errors: invalid_argument when it ends inside a member.
  Result<void> finish();

 private:
  enum class State {
    header,
    content, ///< of a member, for the visitor
    record,  ///< of a long name or pax header, kept
    skipped, ///< of a global pax header
    padding,
    end
  };
  /// What the records in front of a member say about it.
  struct Overrides {
    std::optional<std::string> long_path;
    std::optional<std::string> long_link;
    bool pax_seen = false;
    std::optional<std::string> pax_path;
    std::optional<std::string> pax_link;
    std::optional<ByteCount> pax_size;

    [[nodiscard]] bool any() const { return long_path || long_link || pax_seen; }
  };

  Result<std::size_t> take(ByteSpan bytes);
  Result<void> collect_header(ByteSpan bytes);
  Result<void> take_header();
  Result<void> begin_record(char type, ByteCount size);
  Result<void> end_record();
  Result<void> begin_member(char type, ByteCount size);
  Result<void> take_content(ByteSpan bytes);
  Result<void> end_content();
  Result<void> parse_pax();
  Result<void> apply_pax(std::string_view key, std::string_view value);

  TarVisitor& visitor_;
  State state_ = State::header;
  std::array<std::byte, kTarBlockSize> block_{};
  std::size_t block_size_ = 0;
  ByteCount remaining_ = 0; ///< of the content
  ByteCount padding_ = 0;
  char record_type_ = 0;
  std::string record_;
  Overrides overrides_;
};

} // namespace pkc::protocols::polykit
