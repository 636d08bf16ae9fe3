// What a server says about the files it is given for TLS.
#include "support/certificates.hpp"
#include "unit/http/loopback.hpp"
#include "unit/http/tls_loopback.hpp"

#include "pkc/http/server.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http::test {
namespace {

using pkc::test::write_text;

Result<TlsState> start(const TlsFiles& files, bool ask_clients = false) {
  ServerOptions options;
  options.port = 0;
  options.tls = files.options(ask_clients);
  TRY_ASSIGN(const auto server, Server::start(options, hello_router(), {}));
  return *server->tls();
}

TEST_SUITE("http::Server TLS files") {
  TEST_CASE("errors: name the file and what is wrong with it") {
    struct {
      std::string_view name;
      std::function<void(const TlsFiles&)> spoil;
      std::string_view file;
      std::string_view reason;
    } const rows[] = {
        {"no certificate file",
         [](const TlsFiles& files) { std::filesystem::remove(files.path("certificate")); },
         "certificate",
         "there is no such file"},
        {"no key file",
         [](const TlsFiles& files) { std::filesystem::remove(files.path("key")); },
         "key",
         "there is no such file"},
        {"empty certificate file",
         [](const TlsFiles& files) { write_text(files.path("certificate"), ""); },
         "certificate",
         "it holds no certificate in PEM form"},
        {"empty key file",
         [](const TlsFiles& files) { write_text(files.path("key"), ""); },
         "key",
         "it holds no private key in PEM form"},
        {"files exchanged",
         [](const TlsFiles& files) {
           const auto identity = files.authority().issue("x");
           files.use({.certificate = identity.key, .key = identity.certificate});
         },
         "certificate",
         "it holds no certificate in PEM form"},
        {"damaged certificate",
         [](const TlsFiles& files) {
           auto identity = files.authority().issue("x");
           identity.certificate.replace(identity.certificate.size() / 2, 4, "!!!!");
           files.use(identity);
         },
         "certificate",
         "it is damaged: "},
        {"damaged certificate of the issuer",
         [](const TlsFiles& files) {
           auto identity = files.authority().issue("x");
           std::string issuer = files.authority().certificate();
           identity.certificate += issuer.replace(issuer.size() / 2, 4, "!!!!");
           files.use(identity);
         },
         "certificate",
         "it is damaged: "},
        {"key with a passphrase",
         [](const TlsFiles& files) {
           auto identity = files.authority().issue("x");
           identity.key = pkc::test::encrypt_key(identity.key, "secret");
           files.use(identity);
         },
         "key",
         "the key wants a passphrase: store it without one"},
        {"key of another certificate",
         [](const TlsFiles& files) {
           write_text(files.path("key"), files.authority().issue("x").key);
         },
         "key",
         "does not belong to the first certificate"},
        {"no client authority",
         [](const TlsFiles& files) { files.trust("nobody"); },
         "clients",
         "it holds no certificate in PEM form"},
    };
    for (const auto& row : rows) {
      CAPTURE(row.name);
      const TlsFiles files;
      files.trust(files.authority().certificate());
      REQUIRE(start(files, true));
      row.spoil(files);

      const auto state = start(files, true);

      REQUIRE_FALSE(state);
      CAPTURE(state.error().message);
      CHECK(state.error().code == Errc::invalid_argument);
      CHECK(state.error().message.find(files.path(std::string(row.file))) != std::string::npos);
      CHECK(state.error().message.find(row.reason) != std::string::npos);
    }
  }

  TEST_CASE("files: may be links, as those of Let's Encrypt are") {
    const TlsFiles files;
    for (const char* name : {"certificate", "key"}) {
      const std::string path = files.path(name);
      std::filesystem::rename(path, path + ".1");
      std::filesystem::create_symlink(path + ".1", path);
    }

    CHECK(start(files).has_value());
  }

  TEST_CASE("state: names the certificate and its last day") {
    const TlsFiles files;
    files.use(files.authority().issue("Straße"));

    const auto state = start(files);

    REQUIRE(state);
    CHECK(state->subject == "CN = Straße");
    CHECK(state->valid_until.size() == std::string_view("2026-01-01T00:00:00Z").size());
    CHECK(state->valid_until.starts_with("20"));
  }

  TEST_CASE("warnings: dates that are not now, and a key for everybody") {
    const TlsFiles files;
    std::filesystem::permissions(files.path("key"), std::filesystem::perms{0640});
    CHECK(start(files)->warnings.empty());

    std::filesystem::permissions(files.path("key"), std::filesystem::perms{0644});
    CHECK(start(files)->warnings ==
          std::vector<std::string>{"everybody on this machine may read or write the key " +
                                   files.path("key")});

    std::filesystem::permissions(files.path("key"), std::filesystem::perms{0600});
    files.use(files.authority().issue({.name = "x", .begins_in = -48h, .expires_in = -24h}));
    CHECK(start(files)->warnings == std::vector<std::string>{"the certificate has expired"});
    files.use(files.authority().issue({.name = "x", .begins_in = 24h}));
    CHECK(start(files)->warnings == std::vector<std::string>{"the certificate is not valid yet"});
  }

  TEST_CASE("kernel TLS: is offered, or said not to be") {
    const auto state = start(TlsFiles());

    REQUIRE(state);
    if (!state->kernel_tls) {
      MESSAGE("THIS KERNEL DOES NOT OFFER TLS: sendfile() in TLS is not tested here");
    }
  }
}

} // namespace
} // namespace pkc::http::test
