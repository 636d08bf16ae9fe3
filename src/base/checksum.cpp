#include "pkc/base/checksum.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/digest.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace pkc {

namespace {

const EVP_MD* method_of(ChecksumAlgorithm algorithm) {
  switch (algorithm) {
    case ChecksumAlgorithm::md5:
      return EVP_md5();
    case ChecksumAlgorithm::sha1:
      return EVP_sha1();
    case ChecksumAlgorithm::sha256:
      return EVP_sha256();
    case ChecksumAlgorithm::sha512:
      return EVP_sha512();
  }
  std::unreachable();
}

std::size_t digits_of(ChecksumAlgorithm algorithm) {
  return 2 * static_cast<std::size_t>(EVP_MD_get_size(method_of(algorithm)));
}

bool is_hex(char c) {
  return std::isxdigit(static_cast<unsigned char>(c)) != 0;
}

} // namespace

std::string_view to_string(ChecksumAlgorithm algorithm) {
  switch (algorithm) {
    case ChecksumAlgorithm::md5:
      return "md5";
    case ChecksumAlgorithm::sha1:
      return "sha1";
    case ChecksumAlgorithm::sha256:
      return "sha256";
    case ChecksumAlgorithm::sha512:
      return "sha512";
  }
  std::unreachable();
}

Result<Checksum> parse_checksum(ChecksumAlgorithm algorithm, std::string_view text) {
  const std::size_t digits = digits_of(algorithm);
  if (text.size() != digits || !std::ranges::all_of(text, is_hex)) {
    return fail(
        Errc::invalid_argument,
        std::string(to_string(algorithm)) + " takes " + std::to_string(digits) + " hex digits");
  }
  Checksum checksum{algorithm, std::string(text)};
  std::ranges::transform(checksum.hex, checksum.hex.begin(), [](unsigned char c) {
    return static_cast<char>(std::tolower(c));
  });
  return checksum;
}

std::optional<Checksum> find_mismatch(std::span<const Checksum> expected,
                                      std::span<const Checksum> found) {
  for (const Checksum& checksum : expected) {
    if (std::ranges::find(found, checksum) == found.end()) {
      return checksum;
    }
  }
  return std::nullopt;
}

void ChecksumHasher::ContextTraits::close(Type context) noexcept {
  EVP_MD_CTX_free(context);
}

ChecksumHasher::ChecksumHasher(ChecksumAlgorithm algorithm, Context context)
    : algorithm_(algorithm), context_(std::move(context)) {}

Result<ChecksumHasher> ChecksumHasher::make(ChecksumAlgorithm algorithm) {
  Context context(EVP_MD_CTX_new());
  PKC_ASSERT(context);
  if (EVP_DigestInit_ex(context.get(), method_of(algorithm), nullptr) != 1) {
    return fail(Errc::unavailable,
                std::string(to_string(algorithm)) + " is switched off on this machine");
  }
  return ChecksumHasher(algorithm, std::move(context));
}

void ChecksumHasher::update(ByteSpan bytes) {
  PKC_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Checksum ChecksumHasher::finish() {
  std::array<std::byte, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  PKC_ASSERT(EVP_DigestFinal_ex(
                 context_.get(), reinterpret_cast<unsigned char*>(digest.data()), &size) == 1);
  return {algorithm_, to_hex(ByteSpan(digest).first(size))};
}

Result<Checksum> checksum_of(ByteSource& source, ChecksumAlgorithm algorithm) {
  TRY_ASSIGN(auto hasher, ChecksumHasher::make(algorithm));
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  while (true) {
    TRY_ASSIGN(const std::size_t count, source.read({buffer.get(), kStreamBufferSize}));
    if (count == 0) {
      return hasher.finish();
    }
    hasher.update({buffer.get(), count});
  }
}

} // namespace pkc
