#include "pkc/base/digest.hpp"

#include "pkc/base/assert.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace pkc {

namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

} // namespace

std::string to_hex(ByteSpan bytes) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(bytes.size() * 2, '\0');
  char* out = text.data();
  for (const std::byte b : bytes) {
    *out++ = kDigits[std::to_integer<std::size_t>(b >> 4)];
    *out++ = kDigits[std::to_integer<std::size_t>(b & std::byte{15})];
  }
  return text;
}

std::string Sha256::hex() const {
  return to_hex(bytes);
}

std::optional<Sha256> Sha256::from_hex(std::string_view text) {
  Sha256 digest;
  if (text.size() != digest.bytes.size() * 2) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < digest.bytes.size(); ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) {
      return std::nullopt;
    }
    digest.bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return digest;
}

void Sha256Hasher::ContextTraits::close(Type context) noexcept {
  EVP_MD_CTX_free(context);
}

Sha256Hasher::Sha256Hasher() : context_(EVP_MD_CTX_new()) {
  PKC_ASSERT(context_);
  PKC_ASSERT(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

void Sha256Hasher::update(ByteSpan bytes) {
  PKC_ASSERT(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Sha256 Sha256Hasher::finish() {
  Sha256 digest;
  unsigned int size = 0;
  PKC_ASSERT(EVP_DigestFinal_ex(context_.get(),
                                reinterpret_cast<unsigned char*>(digest.bytes.data()),
                                &size) == 1);
  PKC_ASSERT(size == digest.bytes.size());
  // Null type: keep the algorithm, start over; cheaper than naming it again.
  PKC_ASSERT(EVP_DigestInit_ex(context_.get(), nullptr, nullptr) == 1);
  return digest;
}

Sha256 sha256(ByteSpan bytes) {
  Sha256Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

bool equal_in_constant_time(ByteSpan a, ByteSpan b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace pkc
