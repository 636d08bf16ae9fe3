#include "tls_files.hpp"

#include "tls_context.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/base/digest.hpp"
#include "pkc/base/file_system.hpp"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <span>
#include <string_view>
#include <utility>

namespace pkc::http {

namespace {

/// Every authority of a large bundle fits in many times.
constexpr ByteCount kFileSizeMax = 4 * kMiB;

struct BioTraits {
  using Type = BIO*;
  static constexpr Type kInvalid = nullptr;
  static void close(Type bio) noexcept { BIO_free_all(bio); }
};
using Bio = UniqueHandle<BioTraits>;

/// The text of a file, wiped on destruction: it may be a key.
class FileText {
 public:
  FileText() = default;
  FileText(const FileText&) = delete;
  FileText& operator=(const FileText&) = delete;
  FileText(FileText&&) = delete;
  FileText& operator=(FileText&&) = delete;
  ~FileText() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

  Result<void> read(const std::string& path) {
    TRY_ASSIGN(const auto file, posix_file_system().open(follow_links(path)));
    if (file == nullptr) {
      return fail(Errc::invalid_argument, "there is no such file");
    }
    const ByteCount size = file->opened_stat().size;
    if (size > kFileSizeMax) {
      return fail(Errc::invalid_argument, "it is larger than " + format_byte_count(kFileSizeMax));
    }
    bytes_.resize(static_cast<std::size_t>(size));
    TRY_ASSIGN(const std::size_t count, file->read_at(0, bytes_));
    bytes_.resize(count);
    return {};
  }

  [[nodiscard]] bool contains(std::string_view text) const {
    return as_text(bytes_).find(text) != std::string_view::npos;
  }
  /// A view as OpenSSL reads it.
  [[nodiscard]] Bio open() const {
    const void* const begin = bytes_.empty() ? "" : static_cast<const void*>(bytes_.data());
    Bio bio(BIO_new_mem_buf(begin, static_cast<int>(bytes_.size())));
    PKC_ASSERT(bio);
    return bio;
  }

 private:
  std::vector<std::byte> bytes_;
};

/// Instead of OpenSSL's own, which would ask on the terminal.
int refuse_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

bool is_end_of_pem(unsigned long code) {
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

Result<std::vector<Certificate>> parse_certificates(const FileText& text) {
  const Bio bio = text.open();
  std::vector<Certificate> certificates;
  bool asked = false;
  ERR_clear_error();
  while (X509* const next = PEM_read_bio_X509(bio.get(), nullptr, refuse_passphrase, &asked)) {
    certificates.emplace_back(next);
  }
  if (!is_end_of_pem(ERR_peek_last_error())) {
    return fail(Errc::invalid_argument, "it is damaged: " + tls_failure());
  }
  ERR_clear_error();
  if (certificates.empty()) {
    return fail(Errc::invalid_argument, "it holds no certificate in PEM form");
  }
  return certificates;
}

Result<PrivateKey> parse_private_key(const FileText& text) {
  const Bio bio = text.open();
  bool asked = false;
  ERR_clear_error();
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, refuse_passphrase, &asked));
  if (key) {
    return key;
  }
  if (asked) {
    ERR_clear_error();
    return fail(Errc::invalid_argument, "the key wants a passphrase: store it without one");
  }
  const std::string reason = tls_failure();
  return fail(Errc::invalid_argument,
              text.contains("PRIVATE KEY-----") ? "it is damaged: " + reason
                                                : "it holds no private key in PEM form");
}

/// Nothing for a time that cannot be read.
std::optional<WallTime> wall_time(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{
      std::chrono::year(parts.tm_year + 1900),
      std::chrono::month(static_cast<unsigned>(parts.tm_mon + 1)),
      std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  return WallTime(std::chrono::sys_days(date)) + std::chrono::hours(parts.tm_hour) +
         std::chrono::minutes(parts.tm_min) + std::chrono::seconds(parts.tm_sec);
}

std::string format_time(const ASN1_TIME* time) {
  std::tm parts{};
  std::array<char, sizeof("2000-01-01T00:00:00Z") + 8> text{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return "unknown";
  }
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

} // namespace

void CertificateTraits::close(Type certificate) noexcept {
  X509_free(certificate);
}

void PrivateKeyTraits::close(Type key) noexcept {
  EVP_PKEY_free(key);
}

Result<std::vector<Certificate>> read_certificates(const std::string& path) {
  FileText text;
  const auto read = text.read(path);
  auto certificates = read ? parse_certificates(text) : std::unexpected(read.error());
  if (!certificates) {
    return std::unexpected(std::move(certificates).error().prefixed("cannot use " + path));
  }
  return certificates;
}

Result<PrivateKey> read_private_key(const std::string& path) {
  FileText text;
  const auto read = text.read(path);
  auto key = read ? parse_private_key(text) : std::unexpected(read.error());
  if (!key) {
    return std::unexpected(std::move(key).error().prefixed("cannot use " + path));
  }
  return key;
}

void describe_certificate(const X509* certificate, WallTime now, TlsState& state) {
  const Bio text(BIO_new(BIO_s_mem()));
  PKC_ASSERT(text);
  X509_NAME_print_ex(
      text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB);
  char* memory = nullptr;
  const long size = BIO_get_mem_data(text.get(), &memory);
  state.subject.assign(memory, static_cast<std::size_t>(std::max(size, 0L)));
  state.valid_until = format_time(X509_get0_notAfter(certificate));
  const auto begin = wall_time(X509_get0_notBefore(certificate));
  const auto end = wall_time(X509_get0_notAfter(certificate));
  state.expires = end;
  if (end && *end < now) {
    state.warnings.emplace_back("the certificate has expired");
  }
  if (begin && *begin > now) {
    state.warnings.emplace_back("the certificate is not valid yet");
  }
}

void check_key_is_private(const std::string& path, TlsState& state) {
  struct stat facts{};
  if (::stat(path.c_str(), &facts) == 0 && (facts.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    state.warnings.push_back("everybody on this machine may read or write the key " + path);
  }
}

std::string fingerprint(const X509* certificate) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  PKC_ASSERT(X509_digest(certificate, EVP_sha256(), digest.data(), &size) == 1);
  return to_hex(std::as_bytes(std::span(digest).first(size)));
}

} // namespace pkc::http
