// Checksums as clients name them: an algorithm and a value.
#pragma once

#include "pkc/base/bytes.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/base/unique_handle.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;

namespace pkc {

/// MD5 and SHA-1 protect against accidents only: they are for lists of checksums that have nothing
/// better.
enum class ChecksumAlgorithm : std::uint8_t {
  md5,
  sha1,
  sha256,
  sha512,
};

inline constexpr std::array kChecksumAlgorithms = {ChecksumAlgorithm::md5,
                                                   ChecksumAlgorithm::sha1,
                                                   ChecksumAlgorithm::sha256,
                                                   ChecksumAlgorithm::sha512};

/// "md5", "sha1", "sha256", "sha512".
std::string_view to_string(ChecksumAlgorithm algorithm);

struct Checksum {
  ChecksumAlgorithm algorithm = ChecksumAlgorithm::sha256;
  std::string hex; ///< lower case

  friend bool operator==(const Checksum&, const Checksum&) = default;
};

/// A value in hex of either case. Pure. Errors: invalid_argument, saying how many digits it takes.
Result<Checksum> parse_checksum(ChecksumAlgorithm algorithm, std::string_view text);

/// The one of `expected` whose algorithm is in `found` with another value, or is not in it.
/// Nothing: all agree. Pure.
std::optional<Checksum> find_mismatch(std::span<const Checksum> expected,
                                      std::span<const Checksum> found);

/// Computes one checksum of a stream (OpenSSL). One thread at a time. Errors of make(): unavailable
/// where the system's policy forbids the algorithm, as FIPS does MD5.
class ChecksumHasher {
 public:
  static Result<ChecksumHasher> make(ChecksumAlgorithm algorithm);
  void update(ByteSpan bytes);
  /// Of everything since make(); to be called once.
  Checksum finish();

 private:
  struct ContextTraits {
    using Type = evp_md_ctx_st*;
    static constexpr Type kInvalid = nullptr;
    static void close(Type context) noexcept;
  };
  using Context = UniqueHandle<ContextTraits>;
  ChecksumHasher(ChecksumAlgorithm algorithm, Context context);

  ChecksumAlgorithm algorithm_;
  Context context_;
};

/// Reads `source` to its end for one checksum of it. Errors: those of make() and of the source.
Result<Checksum> checksum_of(ByteSource& source, ChecksumAlgorithm algorithm);

} // namespace pkc
