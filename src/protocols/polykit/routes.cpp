// Three steps per handler: the key, the store, the answer. The wire is that of the original server
// 0.2.0.
#include "polykit/artifact_check.hpp"

#include "pkc/http/content.hpp"
#include "pkc/protocols/polykit.hpp"

#include <memory>
#include <utility>

namespace pkc::protocols {

namespace {

using http::Outcome;
using http::Request;
using http::Response;
using polykit::ArtifactCheck;
using polykit::ArtifactLimits;
using store::CommitOutcome;
using store::Key;
using store::StoredObject;

Response with_outcome(Outcome outcome, Response response) {
  response.outcome = outcome;
  return response;
}

class PolykitRoutes {
 public:
  PolykitRoutes(store::ContentStore& store,
                ops::Log& log,
                ops::Metrics& metrics,
                const PolykitOptions& options)
      : store_(store),
        log_(log),
        options_(options),
        refused_(
            metrics.counter(ops::kRefusedName, ops::kRefusedHelp, {{"reason", "check_memory"}})),
        check_room_(options.check_windows_max, options.late_checks_max) {}

  Response get(Request& request);
  Response put(Request& request);

 private:
  Response receive(Request& request, const Key& key);
  Response represent(const Request& request, const Key& key, StoredObject object);
  static Response miss();
  static Response exists(const Key& key);
  static Response reject(int status, std::string_view message);
  static Response refuse_body(const Error& error);
  Response refuse_artifact(const Key& key, const Error& error);
  Response storage_failure(const Key& key, const Error& error);

  store::ContentStore& store_;
  ops::Log& log_;
  PolykitOptions options_;
  ops::Counter& refused_;
  polykit::CheckRoom check_room_;
};

constexpr std::string_view kBadKey = "invalid cache key: 32 to 128 hexadecimal digits are expected";

Response PolykitRoutes::get(Request& request) {
  const auto key = Key::parse_hex(request.parameters.front());
  if (!key) {
    return reject(400, kBadKey);
  }
  auto object = store_.open(*key);
  if (!object) {
    return storage_failure(*key, object.error());
  }
  return *object ? represent(request, *key, **std::move(object)) : miss();
}

Response PolykitRoutes::represent(const Request& request, const Key& key, StoredObject object) {
  const store::Sidecar& facts = *object.sidecar;
  const std::string hash = facts.hash.hex();
  constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
  const http::Representation representation{
      .size = facts.size,
      .etag = '"' + hash + '"',
      .last_modified = facts.stored_at.value_or(
          WallTime(std::chrono::seconds(object.identity.mtime_ns / kNanosecondsPerSecond)))};
  const http::ContentPlan plan = http::plan_content(request, representation);

  const bool whole = plan.status == 200;
  const bool sends_bytes = request.method == http::Method::get && (whole || plan.status == 206);
  if (plan.status == 206 && !object.verified) {
    // A part proves nothing by itself: the whole is read once before any of it leaves.
    const auto good = store_.verify(key, object);
    if (!good) {
      return storage_failure(key, good.error());
    }
    if (!*good) {
      return miss();
    }
  }

  if (plan.status == 412 || plan.status == 416) {
    Response refusal =
        http::make_error(plan.status,
                         plan.status == 412 ? "the artifact does not meet the condition"
                                            : "the range is outside the artifact");
    http::apply_content_headers(refusal, plan, representation);
    return with_outcome(Outcome::hit, std::move(refusal));
  }
  Response response = with_outcome(Outcome::hit, http::make_response(plan.status));
  http::apply_content_headers(response, plan, representation);
  if (plan.status != 304) { // RFC 9110 section 15.4.5: no more about the content than it validates
    response.headers.set("Content-Type", "application/zstd");
  }
  response.headers.set("X-Artifact-Hash", hash);
  response.headers.set("Cache-Control", "max-age=31536000, immutable");
  if (sends_bytes && !object.verified) {
    response.body = http::StreamBody{store_.verified_body(key, object), facts.size};
  } else if (whole || plan.status == 206) {
    response.body = http::FileBody{object.file, plan.range.offset, plan.range.length};
  }
  return response;
}

Response PolykitRoutes::put(Request& request) {
  const auto key = Key::parse_hex(request.parameters.front());
  if (!key) {
    return reject(400, kBadKey);
  }
  if (request.body->length().value_or(0) > options_.body_size_max) {
    return reject(413, "the artifact is larger than " + format_byte_count(options_.body_size_max));
  }
  const auto existing = store_.open(*key);
  if (!existing) {
    return storage_failure(*key, existing.error());
  }
  // Before the body is read: the original's client sends it again with each of three retries.
  return *existing ? exists(*key) : receive(request, *key);
}

Response PolykitRoutes::receive(Request& request, const Key& key) {
  const auto writer = store_.put(key);
  if (!writer) {
    return storage_failure(key, writer.error());
  }
  ArtifactCheck check(
      check_room_,
      key.id(),
      ArtifactLimits{.files_max = options_.artifact_files_max, .decode = options_.decode});
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(kStreamBufferSize);
  while (true) {
    const auto count = request.body->read({buffer.get(), kStreamBufferSize});
    if (!count) {
      return refuse_body(count.error());
    }
    if (*count == 0) {
      break;
    }
    if ((*writer)->size() + *count > options_.body_size_max) {
      return reject(413,
                    "the artifact is larger than " + format_byte_count(options_.body_size_max));
    }
    const ByteSpan bytes(buffer.get(), *count);
    if (const auto checked = check.write(bytes); !checked) {
      return refuse_artifact(key, checked.error());
    }
    if (const auto written = (*writer)->write(bytes); !written) {
      return storage_failure(key, written.error());
    }
  }

  const auto facts = check.finish(**writer);
  if (!facts) {
    return refuse_artifact(key, facts.error());
  }
  const auto outcome = (*writer)->commit({.created_at = facts->created_at});
  if (!outcome) {
    return storage_failure(key, outcome.error());
  }
  if (*outcome == CommitOutcome::exists) {
    return exists(key);
  }
  log_.debug("artifact stored",
             {{"key", key.id()},
              {"size", (*writer)->size()},
              {"package", facts->package},
              {"task", facts->task}});
  return with_outcome(Outcome::stored, http::make_response(201));
}

Response PolykitRoutes::miss() {
  return with_outcome(Outcome::miss, http::make_error(404, "Artifact not found"));
}

Response PolykitRoutes::exists(const Key& key) {
  return with_outcome(Outcome::exists,
                      http::make_error(409, "Artifact " + key.id() + " already exists"));
}

Response PolykitRoutes::reject(int status, std::string_view message) {
  return with_outcome(Outcome::rejected, http::make_error(status, message));
}

/// 400 and close also for a body that stopped coming: 408 makes some clients send it again.
Response PolykitRoutes::refuse_body(const Error& error) {
  Response response = reject(400,
                             error.code == Errc::timeout ? "the request body stopped coming"
                                                         : "the request body is incomplete");
  response.close_connection = true;
  return response;
}

Response PolykitRoutes::refuse_artifact(const Key& key, const Error& error) {
  if (error.code == Errc::invalid_argument || error.code == Errc::too_large) {
    return reject(422, error.message);
  }
  if (error.code != Errc::unavailable) {
    return storage_failure(key, error);
  }
  refused_.add();
  Response response = with_outcome(
      Outcome::failed, http::make_error(503, "no memory to check the artifact, try again"));
  response.headers.add("Retry-After", "1");
  return response;
}

Response PolykitRoutes::storage_failure(const Key& key, const Error& error) {
  log_.error("storage failure",
             {{"key", key.id()}, {"kind", to_string(error.code)}, {"reason", error.message}});
  return with_outcome(Outcome::failed,
                      error.code == Errc::no_space ? http::make_error(507, "the storage is full")
                                                   : http::make_error(500, "the storage failed"));
}

} // namespace

void mount_polykit(http::Router& router,
                   store::ContentStore& store,
                   ops::Log& log,
                   ops::Metrics& metrics,
                   const PolykitOptions& options) {
  constexpr std::string_view kPattern = "/v1/artifacts/{key}";
  constexpr std::string_view kProtocol = "polykit";
  constexpr std::string_view kSpace = "polykit";
  const auto routes = std::make_shared<PolykitRoutes>(store, log, metrics, options);
  router.add({.method = http::Method::get,
              .pattern = kPattern,
              .access = http::RouteAccess::read(kSpace),
              .handler = [routes](Request& request) { return routes->get(request); },
              .protocol = kProtocol});
  router.add({.method = http::Method::put,
              .pattern = kPattern,
              .access = http::RouteAccess::write(kSpace),
              .handler = [routes](Request& request) { return routes->put(request); },
              .protocol = kProtocol});
}

} // namespace pkc::protocols
