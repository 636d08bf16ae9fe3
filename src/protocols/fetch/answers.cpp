#include "fetch/answers.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace pkc::protocols::fetch {

namespace {

using http::Outcome;
using http::Response;
using nlohmann::ordered_json;
using upstream::Failure;

constexpr std::chrono::seconds kRetryAfter{5};

Response answer(int status, const ordered_json& document, Outcome outcome) {
  Response response = http::make_response(status);
  response.headers.add("Content-Type", "application/json");
  response.headers.add("Cache-Control", "no-store"); // else a cache may guess
  response.outcome = outcome;
  // What a client or an origin wrote need not be UTF-8, and a strict dump would throw.
  response.body = document.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return response;
}

std::string_view class_of(Errc code) {
  switch (code) {
    case Errc::no_space:
      return "disk full";
    case Errc::corrupt:
      return "damaged data";
    case Errc::timeout:
    case Errc::unavailable:
      return "overloaded";
    case Errc::invalid_argument:
    case Errc::unauthorized:
    case Errc::conflict:
    case Errc::too_large:
      return "internal";
    case Errc::io:
      return "storage failure";
  }
  std::unreachable();
}

Response answer_unavailable(const Ask& ask, const Failure& failure) {
  // What stood in the way names addresses, which may be internal knowledge: it is in the log.
  Response response = answer(503,
                             {{"error", "upstream_unavailable"},
                              {"source_url", ask.text},
                              {"message", "the origin cannot be reached, or broke off"}},
                             Outcome::failed);
  response.headers.add("Retry-After",
                       std::to_string(failure.retry_after.value_or(kRetryAfter).count()));
  return response;
}

Response answer_refused(const Ask& ask, const Failure& failure) {
  ordered_json document = {{"error", "upstream_error"},
                           {"status_code", nullptr},
                           {"source_url", ask.text},
                           {"message", failure.message}};
  if (failure.status != 0) {
    document["status_code"] = failure.status;
  }
  Response response = answer(502, document, Outcome::failed);
  if (failure.retry_after) {
    response.headers.add("Retry-After", std::to_string(failure.retry_after->count()));
  }
  return response;
}

} // namespace

Response answer_wrong_ask(const WrongAsk& wrong) {
  return answer(
      400,
      {{"error", wrong.error}, {"parameter", wrong.parameter}, {"message", wrong.message}},
      Outcome::rejected);
}

Response answer_mismatch(const Ask& ask, const Checksum& expected, std::string_view actual) {
  const std::string name(to_string(expected.algorithm));
  return answer(409,
                {{"error", "checksum_mismatch"},
                 {"expected", expected.hex},
                 {"actual", actual},
                 {"source_url", ask.text},
                 {"message", "the " + name + " of the file is not the one that was asked for"}},
                Outcome::rejected);
}

Response answer_failure(const Ask& ask, const Failure& failure) {
  switch (failure.kind) {
    case Failure::Kind::forbidden:
      return answer(
          403,
          {{"error", "forbidden_upstream"}, {"source_url", ask.text}, {"message", failure.message}},
          Outcome::rejected);
    case Failure::Kind::too_large:
      return answer(
          413,
          {{"error", "too_large"}, {"source_url", ask.text}, {"message", failure.message}},
          Outcome::rejected);
    case Failure::Kind::refused:
      return answer_refused(ask, failure);
    case Failure::Kind::unavailable:
      return answer_unavailable(ask, failure);
    case Failure::Kind::no_space:
      return answer_internal({Errc::no_space, {}});
    case Failure::Kind::internal:
      return answer_internal({Errc::io, {}});
  }
  std::unreachable();
}

Response answer_internal(const Error& error) {
  return answer(500,
                {{"error", "internal_error"},
                 {"message", "the cache failed; the origin may be fine"},
                 {"details", class_of(error.code)}},
                Outcome::failed);
}

Response answer_overloaded(const Ask& ask) {
  Response response = answer(503,
                             {{"error", "overloaded"},
                              {"source_url", ask.text},
                              {"message", "too many downloads go on already, try again"}},
                             Outcome::failed);
  response.headers.add("Retry-After", std::to_string(kRetryAfter.count()));
  return response;
}

Response answer_miss() {
  Response response = answer(
      404, {{"error", "not_cached"}, {"message", "this URL is not in the cache"}}, Outcome::miss);
  response.headers.add(kCacheStatus, "MISS");
  return response;
}

} // namespace pkc::protocols::fetch
