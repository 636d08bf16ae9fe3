// The query, the archive, and, on a miss, the download: each answer from the first of them that has
// it.
#include "fetch/answers.hpp"
#include "fetch/ask.hpp"
#include "fetch/content_answer.hpp"
#include "fetch/fetch_log.hpp"
#include "fetch/recent_hits.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/stream.hpp"
#include "pkc/http/client_throttles.hpp"
#include "pkc/protocols/fetch.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pkc::protocols {

namespace {

using fetch::Ask;
using fetch::Cached;
using http::Request;
using http::Response;
using store::Archive;
using upstream::Phase;
using upstream::Waiter;

/// What outlives the handler of a request that has to wait.
struct Errand {
  Ask ask;
  Request request; ///< without body and principal
  SteadyTime begun;
  std::shared_ptr<Waiter> waiter;
};

class FetchRoutes : public std::enable_shared_from_this<FetchRoutes> {
 public:
  FetchRoutes(const FetchServices& services, const FetchOptions& options)
      : services_(services),
        options_(options),
        log_(services.log, services.clock),
        clients_(options.client_rate),
        upstream_changed_(services.metrics.counter(
            "artifact_cache_upstream_changed_total",
            "Files that their origin has other content for by now; the archived stay.")) {}

  Response get(Request& request);

 private:
  std::optional<Response> repeat(const Request& request);
  Response answer(const Request& request);
  Response serve(const Request& request, Ask ask);
  Result<std::optional<Response>> answer_stored(const Request& request,
                                                const Ask& ask,
                                                Cached cached);
  Result<std::vector<Checksum>> checksums_of(const Archive::Found& found, const Ask& ask);
  std::optional<upstream::Arrived> stored_by_now(const std::string& url);
  Response download(const Request& request, Ask ask);
  Response when_answered(const std::shared_ptr<Errand>& errand);
  Response when_over(const std::shared_ptr<Errand>& errand);
  Response go_on(const std::shared_ptr<Errand>& errand);
  Response give_stored(const Errand& errand);
  Response failed(const Errand& errand);
  void revalidate(const Archive::Found& found);
  void note_check(const std::string& url, const Sha256& content, upstream::Checked checked);

  const FetchServices services_;
  const FetchOptions options_;
  fetch::FetchLog log_;
  http::ClientThrottles clients_;
  fetch::RecentHits recent_;
  ops::Counter& upstream_changed_;
};

/// Empty when it is not among them.
std::string value_of(const std::vector<Checksum>& checksums, ChecksumAlgorithm algorithm) {
  const auto found = std::ranges::find(checksums, algorithm, &Checksum::algorithm);
  return found == checksums.end() ? std::string() : found->hex;
}

store::ArchivedSource source_of(const std::string& url,
                                const upstream::OriginAnswer& answer,
                                const upstream::Arrived& arrived) {
  const auto header = [&](std::string_view name) {
    return std::string(answer.headers.get(name).value_or(""));
  };
  store::ArchivedSource source{.source_url = url,
                               .content = arrived.digest,
                               .size = arrived.size,
                               .content_type = header("Content-Type"),
                               .content_encoding = header("Content-Encoding"),
                               .etag = header("ETag"),
                               .last_modified = header("Last-Modified"),
                               .first_cached_at = {},
                               .fetched_at = {},
                               .checked_at = {},
                               .changed_at = std::nullopt,
                               .checksums = arrived.checksums,
                               .previous = {}};
  // The key says it already.
  std::erase_if(source.checksums, [](const Checksum& checksum) {
    return checksum.algorithm == ChecksumAlgorithm::sha256;
  });
  return source;
}

Response FetchRoutes::get(Request& request) {
  auto repeated = repeat(request);
  Response response = repeated ? *std::move(repeated) : answer(request);
  if (response.status / 100 == 2) { // or it is not known yet
    response.throttle = clients_.of(request.client_address);
  }
  return response;
}

Response FetchRoutes::answer(const Request& request) {
  auto ask = fetch::parse_ask(request.query);
  return ask ? serve(request, *std::move(ask)) : fetch::answer_wrong_ask(ask.error());
}

/// What was answered to the same query a moment ago, if it still holds.
std::optional<Response> FetchRoutes::repeat(const Request& request) {
  const SteadyTime begun = services_.clock.steady_now();
  const auto hit = recent_.find(request.query, services_.archive.changes(), begun);
  if (!hit) {
    return std::nullopt;
  }
  auto response = fetch::repeat_answer(request, hit->answer, services_.contents);
  if (response) {
    services_.archive.note_use(hit->record);
    log_.hit({hit->source_url, request.client_address, begun}, response->body_length().value_or(0));
  }
  return response;
}

Response FetchRoutes::serve(const Request& request, Ask ask) {
  const SteadyTime begun = services_.clock.steady_now();
  if (!ask.refresh) {
    auto stored = answer_stored(request, ask, Cached::hit);
    if (!stored) {
      log_.failed({ask.text, request.client_address, begun}, stored.error().message);
      return fetch::answer_internal(stored.error());
    }
    if (std::optional<Response>& response = *stored) {
      log_.hit({ask.text, request.client_address, begun}, response->body_length().value_or(0));
      return *std::move(response);
    }
  }
  return request.method == http::Method::head ? fetch::answer_miss()
                                              : download(request, std::move(ask));
}

/// Nothing when it is not in the archive.
Result<std::optional<Response>> FetchRoutes::answer_stored(const Request& request,
                                                           const Ask& ask,
                                                           Cached cached) {
  const SteadyTime looked_at = services_.clock.steady_now();
  const std::uint64_t changes = services_.archive.changes();
  TRY_ASSIGN(auto found, services_.archive.find(ask.text));
  if (!found) {
    return std::nullopt;
  }
  if (!ask.wanted.empty()) {
    TRY_ASSIGN(const auto checksums, checksums_of(*found, ask));
    if (const auto wrong = find_mismatch(ask.wanted, checksums)) {
      return fetch::answer_mismatch(ask, *wrong, value_of(checksums, wrong->algorithm));
    }
  }
  if (cached == Cached::hit) {
    revalidate(*found);
  }
  TRY_ASSIGN(auto content,
             fetch::answer_content(request, *std::move(found), services_.contents, cached));
  if (!content) {
    return std::nullopt;
  }
  if (cached == Cached::hit && content->repeatable) {
    recent_.keep(request.query,
                 {.source_url = ask.text,
                  .record = Archive::key_of(ask.text),
                  .answer = std::move(content->repeatable),
                  .changes = changes,
                  .looked_at = looked_at});
  }
  return std::move(content->response);
}

/// Those of the archived file that the request names. What nobody has asked for before is computed
/// from the file, once.
Result<std::vector<Checksum>> FetchRoutes::checksums_of(const Archive::Found& found,
                                                        const Ask& ask) {
  std::vector<Checksum> known = found.source.checksums;
  known.push_back({ChecksumAlgorithm::sha256, found.source.content.hex()});
  const std::size_t known_before = known.size();
  for (const Checksum& wanted : ask.wanted) {
    if (value_of(known, wanted.algorithm).empty()) {
      const auto source = services_.contents.verified_content(*found.content);
      TRY_ASSIGN(auto checksum, checksum_of(*source, wanted.algorithm));
      known.push_back(std::move(checksum));
    }
  }
  if (known.size() > known_before) {
    const std::vector<Checksum> fresh(known.begin() + static_cast<std::ptrdiff_t>(known_before),
                                      known.end());
    TRY(services_.archive.amend(ask.text, found.source.content, [&](store::ArchivedSource& source) {
      source.checksums.insert(source.checksums.end(), fresh.begin(), fresh.end());
    }));
  }
  return known;
}

std::optional<upstream::Arrived> FetchRoutes::stored_by_now(const std::string& url) {
  const auto found = services_.archive.find(url).value_or(std::nullopt);
  if (!found) { // an error comes again, to whoever can tell it
    return std::nullopt;
  }
  const store::ArchivedSource& source = found->source;
  return upstream::Arrived{.digest = source.content, .size = source.size, .checksums = {}};
}

Response FetchRoutes::download(const Request& request, Ask ask) {
  const SteadyTime begun = services_.clock.steady_now();
  auto waiter = services_.downloads.join(
      {.key = ask.text,
       .url = ask.url,
       .size_max = options_.size_max,
       .ask_again = ask.refresh,
       .stored = [self = shared_from_this(), url = ask.text] { return self->stored_by_now(url); },
       .publish =
           [self = shared_from_this(), url = ask.text, client = request.client_address, begun](
               const upstream::OriginAnswer& answer, const upstream::Arrived& arrived) {
             self->log_.downloaded({url, client, begun}, arrived.size);
             return self->services_.archive.publish(source_of(url, answer, arrived));
           }},
      ask.wanted);
  if (!waiter) {
    log_.failed({ask.text, request.client_address, begun}, waiter.error().message);
    return fetch::answer_overloaded(ask);
  }
  Request kept;
  kept.method = request.method;
  kept.headers = request.headers;
  kept.client_address = request.client_address;
  return go_on(
      std::make_shared<Errand>(Errand{std::move(ask), std::move(kept), begun, *std::move(waiter)}));
}

/// The answer, as soon as there is one.
Response FetchRoutes::go_on(const std::shared_ptr<Errand>& errand) {
  switch (errand->waiter->phase()) {
    case Phase::asking:
      return when_answered(errand);
    case Phase::arriving: {
      if (!errand->ask.wanted.empty()) { // nothing is given before it is known to be right
        return when_over(errand);
      }
      auto response = fetch::answer_arriving(errand->request, errand->ask.text, errand->waiter);
      return response ? *std::move(response) : when_over(errand);
    }
    case Phase::stored:
      return give_stored(*errand);
    case Phase::unwanted:
    case Phase::failed:
      return failed(*errand);
  }
  std::unreachable();
}

Response FetchRoutes::when_answered(const std::shared_ptr<Errand>& errand) {
  Response response;
  response.body =
      http::Deferred{.subscribe = [waiter = errand->waiter](
                                      http::Wake wake) { waiter->when_answered(std::move(wake)); },
                     .resume = [self = shared_from_this(), errand] { return self->go_on(errand); }};
  return response;
}

Response FetchRoutes::when_over(const std::shared_ptr<Errand>& errand) {
  Response response;
  response.body =
      http::Deferred{.subscribe = [waiter = errand->waiter](
                                      http::Wake wake) { waiter->when_over(std::move(wake)); },
                     .resume = [self = shared_from_this(), errand] { return self->go_on(errand); }};
  return response;
}

Response FetchRoutes::give_stored(const Errand& errand) {
  auto stored = answer_stored(errand.request, errand.ask, Cached::miss);
  Error error{Errc::corrupt, "what was stored is gone already"};
  if (!stored) {
    error = stored.error();
  } else if (std::optional<Response>& response = *stored) {
    return *std::move(response);
  }
  log_.failed({errand.ask.text, errand.request.client_address, errand.begun}, error.message);
  return fetch::answer_internal(error);
}

Response FetchRoutes::failed(const Errand& errand) {
  const Ask& ask = errand.ask;
  const fetch::Asked asked{ask.text, errand.request.client_address, errand.begun};
  if (errand.waiter->phase() == Phase::failed) {
    const upstream::Failure failure = errand.waiter->failure();
    log_.failed(asked, failure.message);
    return fetch::answer_failure(ask, failure);
  }
  if (errand.waiter->came_late()) { // others' wishes decided before this request came
    return download(errand.request, ask);
  }
  const upstream::Arrived arrived = errand.waiter->arrived();
  const auto wrong = find_mismatch(ask.wanted, arrived.checksums);
  PKC_ASSERT(wrong);
  log_.failed(asked, "checksum mismatch");
  return fetch::answer_mismatch(ask, *wrong, value_of(arrived.checksums, wrong->algorithm));
}

/// Compares what was not looked at for long with the origin, in the background: this answer does
/// not wait for it.
void FetchRoutes::revalidate(const Archive::Found& found) {
  const store::ArchivedSource& source = found.source;
  const auto age = services_.clock.wall_now() - source.checked_at;
  if (options_.revalidate_age.count() == 0 || age < options_.revalidate_age) {
    return;
  }
  auto url = parse_url(source.source_url);
  if (!url) {
    return;
  }
  services_.downloads.check(
      {.key = source.source_url,
       .url = *std::move(url),
       .etag = source.etag,
       .last_modified = source.last_modified,
       .done = [self = shared_from_this(), url = source.source_url, content = source.content](
                   upstream::Checked checked) { self->note_check(url, content, checked); }});
}

void FetchRoutes::note_check(const std::string& url,
                             const Sha256& content,
                             upstream::Checked checked) {
  if (checked == upstream::Checked::unknown) {
    return;
  }
  const WallTime now = services_.clock.wall_now();
  const auto noted = services_.archive.amend(url, content, [&](store::ArchivedSource& source) {
    source.checked_at = now;
    if (checked == upstream::Checked::same) {
      source.changed_at.reset();
    } else if (!source.changed_at) {
      source.changed_at = now;
      upstream_changed_.add();
    }
  });
  if (!noted) {
    services_.log.warn("what an origin said could not be kept",
                       {{"reason", noted.error().message}});
  }
}

} // namespace

void mount_fetch(http::Router& router, const FetchServices& services, const FetchOptions& options) {
  const auto routes = std::make_shared<FetchRoutes>(services, options);
  router.add({.method = http::Method::get,
              .pattern = "/fetch",
              .access = http::RouteAccess::read(kFetchSpace),
              .handler = [routes](Request& request) { return routes->get(request); },
              .protocol = "fetch"}); // app/fetch_metrics.hpp knows it by this name
}

} // namespace pkc::protocols
