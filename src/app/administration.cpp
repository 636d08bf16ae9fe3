#include "pkc/app/administration.hpp"

#include "polykit_options.hpp"
#include "storage.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/http/router.hpp"
#include "pkc/net/client.hpp"
#include "pkc/ops/log.hpp"
#include "pkc/ops/metrics.hpp"
#include "pkc/protocols/admin.hpp"
#include "pkc/protocols/polykit.hpp"
#include "pkc/version.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

namespace pkc::app {

namespace {

class RemoteAdministration final : public Administration {
 public:
  RemoteAdministration(net::Origin origin, std::string token)
      : origin_(std::move(origin)), token_(std::move(token)) {}

  Result<AdminAnswer> ask(const std::string& method, const std::string& target) override {
    TRY_ASSIGN(
        net::Answer answer,
        net::exchange(origin_, {.method = method, .target = target, .token = token_}, limits()));
    return AdminAnswer{.status = answer.status, .body = std::move(answer.body)};
  }

  Result<AdminAnswer> download(const std::string& target,
                               ByteSink& sink,
                               const OnLength& on_length) override {
    TRY_ASSIGN(net::Answer answer,
               net::download(origin_,
                             {.method = "GET", .target = target, .token = token_},
                             sink,
                             on_length,
                             limits()));
    return AdminAnswer{.status = answer.status, .body = std::move(answer.body)};
  }

  Result<AdminAnswer> upload(const std::string& target, File& file) override {
    TRY_ASSIGN(net::Answer answer,
               net::upload(origin_,
                           {.method = "PUT", .target = target, .token = token_},
                           file,
                           file.opened_stat().size,
                           limits()));
    return AdminAnswer{.status = answer.status, .body = std::move(answer.body)};
  }

 private:
  static net::Limits limits() { return {.timeout = kTimeout, .body_size_max = kAnswerMax}; }

  static constexpr std::chrono::seconds kTimeout{60}; // a loaded server may take long to evict
  static constexpr ByteCount kAnswerMax = 4 * kMiB;   // a whole page has a few hundred KiB

  net::Origin origin_;
  std::string token_;
};

http::Method method_of(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, http::Method>, 4> kMethods{
      {{"GET", http::Method::get},
       {"PUT", http::Method::put},
       {"POST", http::Method::post},
       {"DELETE", http::Method::delete_}}};
  for (const auto& [known, method] : kMethods) {
    if (known == name) {
      return method;
    }
  }
  return http::Method::other;
}

/// What a Storage reports to, in a command.
struct Surroundings {
  std::unique_ptr<ops::Log> log = ops::make_stderr_log({.level = ops::LogLevel::warn});
  ops::Metrics metrics;
  [[nodiscard]] StorageParts parts() {
    return {.clock = system_clock(), .log = *log, .metrics = metrics};
  }
};

/// An upload that lies in a file already; null: no body.
class FileRequestBody final : public http::RequestBody {
 public:
  explicit FileRequestBody(File* file) : file_(file) {}

  Result<std::size_t> read(MutableByteSpan buffer) override {
    if (file_ == nullptr) {
      return 0;
    }
    auto count = file_->read_at(offset_, buffer);
    if (!count) {
      trouble_ = std::unexpected(count.error());
      return count;
    }
    offset_ += *count;
    return count;
  }
  [[nodiscard]] std::optional<ByteCount> length() const override {
    return file_ == nullptr ? 0 : file_->opened_stat().size;
  }
  /// What went wrong with the file.
  [[nodiscard]] const Result<void>& trouble() const { return trouble_; }

 private:
  File* file_;
  ByteCount offset_ = 0;
  Result<void> trouble_;
};

Result<void> copy_file(const http::FileBody& body, ByteSink& sink) {
  std::string buffer(kStreamBufferSize, '\0');
  const auto bytes = std::as_writable_bytes(std::span(buffer.data(), buffer.size()));
  for (ByteCount done = 0; done < body.length;) {
    const std::size_t wanted = std::min<ByteCount>(bytes.size(), body.length - done);
    TRY_ASSIGN(const std::size_t count,
               body.file->read_at(body.offset + done, bytes.first(wanted)));
    if (count == 0) {
      return fail(Errc::io, "the artifact has become shorter");
    }
    TRY(sink.write(bytes.first(count)));
    done += count;
  }
  return {};
}

using Body = decltype(http::Response::body);

Result<void> copy_body(Body& body, ByteSink& sink) {
  if (const auto* const file = std::get_if<http::FileBody>(&body)) {
    return copy_file(*file, sink);
  }
  TRY(copy_stream(*std::get<http::StreamBody>(body).source, sink));
  return {};
}

/// The routes of the server, asked without a socket in between.
class DirectoryAdministration final : public Administration {
 public:
  DirectoryAdministration(std::unique_ptr<Surroundings> surroundings,
                          std::unique_ptr<Storage> storage,
                          const protocols::PolykitOptions& polykit)
      : surroundings_(std::move(surroundings)), storage_(std::move(storage)) {
    protocols::mount_polykit(
        router_, storage_->polykit(), *surroundings_->log, surroundings_->metrics, polykit);
    protocols::mount_inventory(router_,
                               storage_->inventory(),
                               system_clock(),
                               *surroundings_->log,
                               {.version = std::string(kVersion),
                                .commit = std::string(kCommit),
                                .started = system_clock().steady_now()});
  }

  Result<AdminAnswer> ask(const std::string& method, const std::string& target) override {
    FileRequestBody nothing(nullptr);
    http::Response response = dispatch(method, target, nothing);
    auto* const text = std::get_if<std::string>(&response.body);
    return AdminAnswer{.status = response.status, .body = text == nullptr ? "" : std::move(*text)};
  }

  Result<AdminAnswer> download(const std::string& target,
                               ByteSink& sink,
                               const OnLength& on_length) override {
    FileRequestBody nothing(nullptr);
    http::Response response = dispatch("GET", target, nothing);
    if (auto* const text = std::get_if<std::string>(&response.body)) {
      return AdminAnswer{.status = response.status, .body = std::move(*text)};
    }
    if (const auto length = response.body_length(); on_length && length) {
      on_length(*length);
    }
    TRY(copy_body(response.body, sink));
    return AdminAnswer{.status = response.status, .body = {}};
  }

  Result<AdminAnswer> upload(const std::string& target, File& file) override {
    FileRequestBody body(&file);
    http::Response response = dispatch("PUT", target, body);
    TRY(body.trouble());
    auto* const text = std::get_if<std::string>(&response.body);
    return AdminAnswer{.status = response.status, .body = text == nullptr ? "" : std::move(*text)};
  }

 private:
  http::Response dispatch(const std::string& method,
                          const std::string& target,
                          http::RequestBody& body) {
    http::Request request;
    request.method = method_of(method);
    request.method_name = method;
    const std::size_t question = std::min(target.find('?'), target.size());
    request.path = target.substr(0, question);
    request.query = target.substr(std::min(question + 1, target.size()));
    request.client_address = "127.0.0.1"; // whoever may write the directory may do everything
    request.body = &body;
    return router_.dispatch(request);
  }

  std::unique_ptr<Surroundings> surroundings_;
  std::unique_ptr<Storage> storage_;
  http::Router router_;
};

/// Files that root makes here would be of no use to the server.
Result<void> check_directory(const std::string& directory) {
  struct stat found{};
  if (::stat(directory.c_str(), &found) != 0) {
    return fail_errno(errno, "the storage directory " + directory);
  }
  if (!S_ISDIR(found.st_mode)) {
    return fail(Errc::io, "the storage directory " + directory + " is no directory");
  }
  if (found.st_uid != ::geteuid()) {
    return fail(Errc::io,
                "the storage directory " + directory + " belongs to the user with the number " +
                    std::to_string(found.st_uid) + ": run this as that user (sudo -u '#" +
                    std::to_string(found.st_uid) + "' ...)");
  }
  return {};
}

/// Where the server of these settings can be asked, for whoever forgot to.
std::string url_of(const config::Settings& settings) {
  const bool is_unix = settings.bind.starts_with("unix:");
  if (!is_unix && settings.port == 0) {
    return "URL";
  }
  return net::Origin{.scheme = settings.tls_cert.empty() ? net::Scheme::http : net::Scheme::https,
                     .host = net::address_of_listener(settings.bind),
                     .port = settings.port}
      .text();
}

/// An index in memory would know nothing, and forget what is done. Errors: unavailable.
Result<void> require_index(Storage& storage) {
  if (!storage.index_trouble().empty()) {
    return fail(Errc::unavailable, "the index cannot be used: " + storage.index_trouble());
  }
  // A server goes on while a slow disk opens it; a command has nothing to do without.
  return storage.index().flush();
}

Result<std::unique_ptr<Storage>> open_alone(const config::Settings& settings, StorageParts parts) {
  TRY(check_directory(settings.storage_dir));
  auto storage = Storage::open(settings, parts, UniqueFd());
  if (!storage && storage.error().code == Errc::unavailable) {
    return fail(
        Errc::unavailable,
        "a server uses the directory " + settings.storage_dir + ": add --url " + url_of(settings));
  }
  return storage;
}

} // namespace

Result<std::unique_ptr<Administration>> administer_server(const RemoteOptions& options) {
  TRY_ASSIGN(net::Origin origin, net::parse_origin(options.url));
  return std::make_unique<RemoteAdministration>(std::move(origin), options.token);
}

Result<std::unique_ptr<Administration>> administer_directory(const config::Settings& settings,
                                                             Use use) {
  TRY(check_directory(settings.storage_dir));
  auto surroundings = std::make_unique<Surroundings>();
  const StorageParts parts = surroundings->parts();
  auto opened =
      use == Use::reading ? Storage::open_beside(settings, parts) : open_alone(settings, parts);
  TRY_ASSIGN(auto storage, std::move(opened));
  TRY(require_index(*storage));
  TRY(storage->begin_books());
  if (const index::State state = storage->index().state();
      use == Use::changing && !state.complete) { // as the server does
    TRY(storage->compare(state.since, [](const store::CompareProgress& /*progress*/) {}));
  }
  return std::make_unique<DirectoryAdministration>(
      std::move(surroundings), std::move(storage), polykit_options(settings));
}

Result<RebuildProgress> rebuild_index(const config::Settings& settings,
                                      const std::function<void(const RebuildProgress&)>& report) {
  Surroundings surroundings;
  TRY_ASSIGN(const auto storage, open_alone(settings, surroundings.parts()));
  TRY(require_index(*storage));
  TRY(storage->begin_books());
  const auto told = [](const store::CompareProgress& now) {
    return RebuildProgress{.shards = now.shards,
                           .shards_done = now.shards_done,
                           .objects = now.objects,
                           .added = now.added,
                           .removed = now.removed};
  };
  TRY_ASSIGN(const store::CompareProgress whole,
             storage->compare(std::nullopt,
                              [&](const store::CompareProgress& now) { report(told(now)); }));
  return told(whole);
}

} // namespace pkc::app
