#include "tar_reader.hpp"

#include <algorithm>
#include <charconv>
#include <span>
#include <utility>

namespace pkc::protocols::polykit {

namespace {

struct Field {
  std::size_t offset;
  std::size_t size;
};

// POSIX.1-1988 ustar; the GNU dialect shares all but the prefix.
constexpr Field kName{0, 100};
constexpr Field kSize{124, 12};
constexpr Field kChecksum{148, 8};
constexpr Field kLinkName{157, 100};
constexpr Field kMagicAndVersion{257, 8};
constexpr Field kPrefix{345, 155};
constexpr std::size_t kTypeOffset = 156;

constexpr std::string_view kUstarMagic{"ustar\00000", 8};
constexpr std::string_view kGnuMagic{"ustar  \0", 8};

std::unexpected<Error> invalid(std::string message) {
  return fail(Errc::invalid_argument, "the tar archive " + std::move(message));
}

/// The field up to its first NUL.
std::string_view text_of(ByteSpan block, Field field) {
  const std::string_view text = as_text(block.subspan(field.offset, field.size));
  return text.substr(0, text.find('\0'));
}

std::string_view magic_of(ByteSpan block) {
  return as_text(block.subspan(kMagicAndVersion.offset, kMagicAndVersion.size));
}

/// Octal digits, blanks around them, up to the first NUL; an empty field is 0.
std::optional<ByteCount> parse_octal(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) {
    return 0;
  }
  text = text.substr(first, text.find_last_not_of(' ') + 1 - first);
  ByteCount value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

/// The size field: octal, or base-256 when its first bit is set (GNU tar, for 8 GiB and more).
std::optional<ByteCount> parse_size(ByteSpan block) {
  const ByteSpan field = block.subspan(kSize.offset, kSize.size);
  if ((field[0] & std::byte{0x80}) == std::byte{0}) {
    return parse_octal(text_of(block, kSize));
  }
  constexpr std::size_t kHighBytes = kSize.size - sizeof(ByteCount);
  const ByteSpan high = field.subspan(1, kHighBytes - 1);
  if (field[0] != std::byte{0x80} ||
      !std::ranges::all_of(high, [](std::byte b) { return b == std::byte{0}; })) {
    return std::nullopt;
  }
  ByteCount value = 0;
  for (const std::byte b : field.subspan(kHighBytes)) {
    value = value << 8U | std::to_integer<ByteCount>(b);
  }
  return value;
}

/// The sum of all bytes, the checksum field counted as blanks. Some old writers summed signed
/// characters; readers have to allow for both.
bool checksum_matches(ByteSpan block) {
  const std::string_view stored = text_of(block, kChecksum);
  const auto expected = parse_octal(stored);
  if (!expected || stored.empty()) {
    return false;
  }
  std::int64_t unsigned_sum = 0;
  std::int64_t signed_sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool blank = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
    const auto value = blank ? ' ' : std::to_integer<std::uint8_t>(block[i]);
    unsigned_sum += value;
    signed_sum += static_cast<std::int8_t>(value);
  }
  return std::cmp_equal(*expected, unsigned_sum) || std::cmp_equal(*expected, signed_sum);
}

std::string path_of(ByteSpan block) {
  std::string path(text_of(block, kName));
  // The GNU dialect keeps times where ustar has the prefix.
  if (magic_of(block) == kUstarMagic) {
    if (const std::string_view prefix = text_of(block, kPrefix); !prefix.empty()) {
      path = std::string(prefix) + "/" + path;
    }
  }
  return path;
}

/// Records are known to both dialects, but not to v7, where the original's library takes such
/// letters for ordinary members.
bool knows_records(ByteSpan block) {
  const std::string_view magic = magic_of(block);
  return magic == kUstarMagic || magic == kGnuMagic;
}

TarEntryType type_of(char letter) {
  switch (letter) {
    case '\0':
    case '0':
    case '7': // contiguous
      return TarEntryType::regular;
    case '1':
      return TarEntryType::hard_link;
    case '2':
      return TarEntryType::symbolic_link;
    case '3':
      return TarEntryType::character_device;
    case '4':
      return TarEntryType::block_device;
    case '5':
      return TarEntryType::directory;
    case '6':
      return TarEntryType::fifo;
    default:
      return TarEntryType::other;
  }
}

constexpr char kLongName = 'L';
constexpr char kLongLink = 'K';
constexpr char kPaxLocal = 'x';
constexpr char kPaxGlobal = 'g';
constexpr char kGnuSparse = 'S';

bool is_record(char type) {
  return type == kLongName || type == kLongLink || type == kPaxLocal;
}

} // namespace

Result<void> TarReader::write(ByteSpan bytes) {
  while (!bytes.empty() && state_ != State::end) {
    TRY_ASSIGN(const std::size_t used, take(bytes));
    bytes = bytes.subspan(used);
  }
  return {};
}

/// Takes as much as belongs to the current state; returns how much that was.
Result<std::size_t> TarReader::take(ByteSpan bytes) {
  const auto up_to = [&bytes](ByteCount limit) {
    return static_cast<std::size_t>(std::min<ByteCount>(bytes.size(), limit));
  };
  std::size_t used = 0;
  switch (state_) {
    case State::header:
      used = up_to(kTarBlockSize - block_size_);
      TRY(collect_header(bytes.first(used)));
      break;
    case State::content:
    case State::record:
    case State::skipped:
      used = up_to(remaining_);
      TRY(take_content(bytes.first(used)));
      break;
    case State::padding:
      used = up_to(padding_);
      padding_ -= used;
      state_ = padding_ == 0 ? State::header : State::padding;
      break;
    case State::end:
      used = bytes.size();
      break;
  }
  return used;
}

Result<void> TarReader::collect_header(ByteSpan bytes) {
  std::ranges::copy(bytes, std::span(block_).subspan(block_size_).begin());
  block_size_ += bytes.size();
  if (block_size_ < kTarBlockSize) {
    return {};
  }
  block_size_ = 0;
  return take_header();
}

Result<void> TarReader::finish() {
  const bool between_members = state_ == State::header && block_size_ == 0;
  if (state_ != State::end && !between_members) {
    return invalid("is cut short");
  }
  if (overrides_.any()) {
    return invalid("ends where a named member should follow");
  }
  return {};
}

Result<void> TarReader::take_header() {
  const ByteSpan block(block_);
  if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) {
    state_ = State::end;
    return overrides_.any() ? finish() : Result<void>{};
  }
  if (!checksum_matches(block)) {
    return invalid("has a header with a wrong checksum");
  }
  const auto size = parse_size(block);
  if (!size) {
    return invalid("has a header with a malformed size");
  }
  const char type = static_cast<char>(block[kTypeOffset]);
  if (type == kGnuSparse) {
    return invalid("has a sparse member");
  }
  padding_ = (kTarBlockSize - *size % kTarBlockSize) % kTarBlockSize;
  if (knows_records(block) && is_record(type)) {
    return begin_record(type, *size);
  }
  if (knows_records(block) && type == kPaxGlobal) {
    if (overrides_.any()) {
      return invalid("describes one member twice");
    }
    remaining_ = *size;
    state_ = State::skipped;
    return remaining_ == 0 ? end_content() : Result<void>{};
  }
  return begin_member(type, *size);
}

Result<void> TarReader::begin_record(char type, ByteCount size) {
  const ByteCount limit = type == kPaxLocal ? kTarPaxHeaderMax : kTarLongNameMax;
  if (size > limit) {
    return fail(Errc::too_large, "the tar archive has an extended header beyond the limit");
  }
  const bool again = (type == kLongName && overrides_.long_path) ||
                     (type == kLongLink && overrides_.long_link) || overrides_.pax_seen ||
                     (type == kPaxLocal && overrides_.any());
  if (again) {
    return invalid("describes one member twice");
  }
  record_type_ = type;
  record_.clear();
  remaining_ = size;
  state_ = State::record;
  return remaining_ == 0 ? end_content() : Result<void>{};
}

Result<void> TarReader::end_record() {
  if (record_type_ == kPaxLocal) {
    overrides_.pax_seen = true;
    return parse_pax();
  }
  // GNU tar counts the final NUL, others do not write it.
  while (record_.ends_with('\0')) {
    record_.pop_back();
  }
  if (record_.empty() || record_.contains('\0')) {
    return invalid("has a malformed long name");
  }
  auto& target = record_type_ == kLongName ? overrides_.long_path : overrides_.long_link;
  target = std::move(record_);
  return {};
}

Result<void> TarReader::begin_member(char type, ByteCount size) {
  const ByteSpan block(block_);
  Overrides overrides = std::exchange(overrides_, {});
  if (overrides.pax_size) {
    // The original's library obeys the header where POSIX obeys pax; honest writers leave the
    // header 0 when the size does not fit into it.
    if (size != 0 && size != *overrides.pax_size) {
      return invalid("has a member with two sizes");
    }
    size = *overrides.pax_size;
    padding_ = (kTarBlockSize - size % kTarBlockSize) % kTarBlockSize;
  }
  TarEntry entry{.path = path_of(block),
                 .link_target = std::string(text_of(block, kLinkName)),
                 .type = type_of(type),
                 .size = size};
  for (auto* path : {&overrides.long_path, &overrides.pax_path}) {
    if (*path) {
      entry.path = std::move(**path);
    }
  }
  for (auto* link : {&overrides.long_link, &overrides.pax_link}) {
    if (*link) {
      entry.link_target = std::move(**link);
    }
  }
  // Before ustar a directory was a member whose name ends in a slash.
  if (entry.type == TarEntryType::regular && entry.path.ends_with('/')) {
    entry.type = TarEntryType::directory;
  }
  remaining_ = size;
  state_ = State::content;
  TRY(visitor_.begin_entry(entry));
  return remaining_ == 0 ? end_content() : Result<void>{};
}

Result<void> TarReader::take_content(ByteSpan bytes) {
  if (state_ == State::content) {
    TRY(visitor_.entry_data(bytes));
  } else if (state_ == State::record) {
    record_.append(as_text(bytes));
  }
  remaining_ -= bytes.size();
  return remaining_ == 0 ? end_content() : Result<void>{};
}

Result<void> TarReader::end_content() {
  const State ended = std::exchange(state_, padding_ == 0 ? State::header : State::padding);
  if (ended == State::content) {
    return visitor_.end_entry();
  }
  return ended == State::record ? end_record() : Result<void>{};
}

/// Records are "<length> <key>=<value>\n", the length counting all of it (POSIX.1-2001 pax).
Result<void> TarReader::parse_pax() {
  std::string_view rest = record_;
  while (!rest.empty()) {
    const std::size_t blank = rest.find(' ');
    const std::string_view digits = rest.substr(0, blank);
    const char* const digits_end = digits.data() + digits.size();
    std::size_t length = 0;
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): the end goes with it
    const auto [end, error] = std::from_chars(digits.data(), digits_end, length);
    if (blank == std::string_view::npos || error != std::errc{} || end != digits_end ||
        length <= blank + 1 || length > rest.size() || rest[length - 1] != '\n') {
      return invalid("has a malformed pax record");
    }
    const std::string_view record = rest.substr(blank + 1, length - blank - 2);
    const std::size_t equals = record.find('=');
    // The original's library splits records at line breaks and ignores their lengths.
    if (equals == std::string_view::npos || equals == 0 || record.contains('\n')) {
      return invalid("has a malformed pax record");
    }
    TRY(apply_pax(record.substr(0, equals), record.substr(equals + 1)));
    rest.remove_prefix(length);
  }
  return {};
}

Result<void> TarReader::apply_pax(std::string_view key, std::string_view value) {
  if (key == "path" || key == "linkpath") {
    auto& target = key == "path" ? overrides_.pax_path : overrides_.pax_link;
    if (target) {
      return invalid("describes one member twice");
    }
    if (value.empty() || value.contains('\0')) {
      return invalid("has a malformed pax name");
    }
    target = value;
  } else if (key == "size") {
    ByteCount size = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    if (error != std::errc{} || end != value.data() + value.size() || overrides_.pax_size) {
      return invalid("has a malformed pax size");
    }
    overrides_.pax_size = size;
  }
  return {};
}

} // namespace pkc::protocols::polykit
