#include "exchange.hpp"

#include "body_reader.hpp"
#include "text.hpp"
#include "throttle.hpp"

#include "pkc/ops/log.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

namespace pkc::http {

namespace {

/// How many pipelined requests one connection gets before others have their turn.
constexpr int kRequestsInARow = 64;
/// An unread body up to this size is dropped and the connection kept; of a larger one the client
/// is told to stop.
constexpr ByteCount kDiscardMax = 64 * kKiB;
/// An answer up to this size is expected to leave without a wait for the client.
constexpr ByteCount kPromptAnswerMax = 128 * kKiB;
/// Room for a head and the first bytes of a body, read with one call.
constexpr std::size_t kInputSlack = 16 * kKiB;

constexpr std::array<std::pair<std::string_view, Method>, 7> kMethods{{
    {"GET", Method::get},
    {"HEAD", Method::head},
    {"PUT", Method::put},
    {"POST", Method::post},
    {"DELETE", Method::delete_},
    {"OPTIONS", Method::options},
    {"PATCH", Method::patch},
}};

/// Whether the answer is more than a client's socket takes at once, or has to be made first.
bool may_block(const Response& response) {
  return std::holds_alternative<StreamBody>(response.body) ||
         response.body_length().value_or(~ByteCount{0}) > kPromptAnswerMax;
}

Method method_of(std::string_view name) {
  const auto* row = std::ranges::find(kMethods, name, &std::pair<std::string_view, Method>::first);
  return row == kMethods.end() ? Method::other : row->second;
}

} // namespace

Exchange::Exchange(Site& site, std::function<void()> before_blocking)
    : site_(site), before_blocking_(std::move(before_blocking)), writer_(site.clock) {}

SteadyTime Exchange::wait_deadline(Connection& connection) const {
  const SteadyTime now = site_.clock.steady_now();
  if (connection.discard_left > 0) {
    return now + site_.options.body_timeout;
  }
  if (connection.input.empty()) {
    connection.head_deadline.reset();
    return now + site_.options.idle_timeout;
  }
  if (!connection.head_deadline) {
    connection.head_deadline = now + site_.options.head_timeout;
  }
  return *connection.head_deadline; // a byte now and then does not move it
}

Next Exchange::advance(Connection& connection, bool expired) {
  memory_.lend_to(connection.input);
  Next next = read_requests(connection);
  if (expired && (next == Next::wait || next == Next::close)) {
    const bool head_begun = !connection.input.empty() && connection.discard_left == 0;
    head_ = Head{}; // its views may be of another connection's bytes
    next = head_begun && !site_.stopping
               ? refuse(connection, 408, "the request head did not come in time")
               : Next::close;
  }
  memory_.take_back(connection.input);
  return next;
}

Next Exchange::read_requests(Connection& connection) {
  const MutableByteSpan room = connection.input.room(site_.head_limits.head_size_max + kInputSlack);
  bool ended = false;
  if (!room.empty()) { // pipelined requests may fill it
    const auto received = connection.socket.try_receive(room);
    if (!received) {
      return Next::close; // the client reset it
    }
    ended = *received == 0U;
    connection.input.commit(received->value_or(0));
  }
  const Next next = serve_buffered(connection);
  // A client may close its side behind its last request and still wait for the answer.
  return ended && next == Next::wait ? Next::close : next;
}

Next Exchange::serve_buffered(Connection& connection) {
  InputBuffer& input = connection.input;
  for (int served = 0; served < kRequestsInARow; ++served) {
    const auto discarded =
        static_cast<std::size_t>(std::min<ByteCount>(connection.discard_left, input.text().size()));
    input.consume(discarded);
    connection.discard_left -= discarded;
    if (input.empty()) {
      return Next::wait;
    }
    const HeadScan scan = scan_head(input.text(), connection.scanned, site_.head_limits, head_);
    connection.scanned = scan.state == HeadState::needs_more ? input.text().size() : 0;
    if (scan.state == HeadState::needs_more) {
      connection.socket.acknowledge_now();
      return Next::wait;
    }
    connection.head_deadline.reset();
    const Next next = scan.state == HeadState::complete
                          ? serve(connection)
                          : refuse(connection, scan.status, scan.message);
    if (next != Next::wait) {
      return next;
    }
  }
  return Next::yield;
}

/// A field that comes twice names two requests, and which of them would be a guess.
void Exchange::name_request() {
  const auto is_id = [](const HeadField& field) {
    return equals_ignoring_case(field.name, kRequestIdField);
  };
  const auto given = std::ranges::find_if(head_.fields, is_id);
  const bool one = given != head_.fields.end() &&
                   std::find_if(given + 1, head_.fields.end(), is_id) == head_.fields.end();
  request_id_ = one && is_request_id(given->value) ? given->value : ids_.next();
}

Request Exchange::make_request(const Connection& connection) {
  Request request;
  request.method = method_of(head_.method);
  request.method_name = head_.method;
  request.path = head_.path;
  request.query = head_.query;
  forwarded_for_.clear();
  for (const HeadField& field : head_.fields) {
    request.headers.add(field.name, field.value);
    if (equals_ignoring_case(field.name, "X-Forwarded-For")) {
      forwarded_for_.push_back(field.value);
    }
  }
  request.client_address = forwarded_for_.empty()
                               ? connection.peer
                               : site_.proxies.client_address(connection.peer, forwarded_for_);
  return request;
}

Response Exchange::call(std::move_only_function<Response()> handler, std::string& failure) const {
  try {
    return handler();
  } catch (const std::exception& exception) {
    failure = std::string("exception in a handler: ") + exception.what();
  } catch (...) {
    failure = "unknown exception in a handler";
  }
  Response response = make_error(500, "internal error");
  response.close_connection = true;
  return response;
}

/// A body that is on its way needs a place for as long as its handler runs. The place is free
/// before the answer leaves, so a client that has its answer finds room for its next upload.
Response Exchange::respond(Request& request, const BodyReader& body, std::string& failure) {
  const auto handler = [&] { return site_.router.dispatch(request); };
  const bool only_reads = request.method == Method::get || request.method == Method::head;
  if (only_reads || body.at_end()) {
    return call(handler, failure);
  }
  before_blocking_();
  const UploadLimit::Place place = site_.uploads.try_take();
  if (!place) {
    Response response = make_error(503, "too many uploads at once, try again");
    response.headers.add("Retry-After", "1");
    return response;
  }
  return call(handler, failure);
}

/// The throttle that the answer has to take turns with, if any. What waits without a worker may
/// always wait; of the others only some may, and the rest get another answer.
Throttle* Exchange::admit(const RequestFacts& facts,
                          Response& response,
                          UploadLimit::Place& place) {
  if (!response.throttle || facts.method == Method::head) {
    return nullptr;
  }
  const auto length = response.body_length();
  if (length && (*length == 0 || response.throttle->try_pass(*length, site_.clock.steady_now()))) {
    return nullptr;
  }
  if (std::holds_alternative<FileBody>(response.body) ||
      std::holds_alternative<PiecesBody>(response.body)) {
    return response.throttle.get();
  }
  place = site_.paced.try_take();
  if (place) {
    before_blocking_();
    return response.throttle.get();
  }
  response = make_error(503, "too many transfers wait for their limit, try again");
  response.headers.add("Retry-After", "1");
  return nullptr;
}

/// Whether the next request can follow on this connection.
bool Exchange::can_keep(const Response& response, const RequestFacts& facts) const {
  if (!facts.keep_alive || response.close_connection || site_.stopping) {
    return false;
  }
  // A client that waits for "100 Continue" may give up waiting and send its body just as our answer
  // leaves. Whether body or next request follows cannot be known then, and a guess would let a body
  // be taken for a request, so the connection ends (RFC 9112 section 9.3 keeps it only for a server
  // that reads on).
  if (facts.continue_pending) {
    return false;
  }
  // What has no length for a client without chunks ends with its connection.
  if (facts.is_http_1_0 && !response.body_length()) {
    return false;
  }
  return facts.body_left && *facts.body_left <= kDiscardMax;
}

Next Exchange::serve(Connection& connection) {
  const SteadyTime started = site_.clock.steady_now();
  if (!parser_.agrees(connection.input.text().substr(0, head_.size), head_)) {
    return refuse(connection, 400, "malformed request head");
  }
  name_request();
  const ops::RequestScope scope(request_id_);
  Request request = make_request(connection);
  target_ = head_.target;
  BodyReader body(connection,
                  head_,
                  {site_.clock, site_.options.body_timeout, site_.options.transfer_rate_min},
                  site_.paced);
  request.body = &body;
  connection.input.consume(head_.size); // ends all views of head_
  if (body.bytes_left() != 0U && body.bytes_left() != connection.input.text().size()) {
    connection.socket.acknowledge_now();
  }
  std::string failure;
  Response response = respond(request, body, failure);
  body.end_pace();
  const RequestFacts facts{.method_name = request.method_name,
                           .method = request.method,
                           .protocol = request.protocol,
                           .target = target_,
                           .client_address = request.client_address,
                           .request_id = request_id_,
                           .started = started,
                           .received = body.received(),
                           .body_left = body.bytes_left(),
                           .continue_pending = body.continue_pending(),
                           .is_http_1_0 = head_.is_http_1_0,
                           .keep_alive = head_.keep_alive};
  return answer(connection, facts, std::move(response), std::move(failure));
}

Next Exchange::answer(Connection& connection,
                      const RequestFacts& facts,
                      Response response,
                      std::string failure) {
  if (std::holds_alternative<Deferred>(response.body)) {
    connection.pending =
        std::make_unique<PendingAnswer>(facts, std::move(response), std::move(failure));
    return defer(connection);
  }
  UploadLimit::Place paced;
  Throttle* const throttle = admit(facts, response, paced);
  const bool keep = can_keep(response, facts);
  if (may_block(response)) {
    before_blocking_();
  }
  const AnswerResult result = writer_.write(connection.socket,
                                            response,
                                            {.is_head_request = facts.method == Method::head,
                                             .is_http_1_0 = facts.is_http_1_0,
                                             .keep_alive = keep,
                                             .request_id = facts.request_id,
                                             .write_timeout = site_.options.write_timeout,
                                             .rate_min = site_.options.transfer_rate_min,
                                             .throttle = throttle});
  if (result.wait == AnswerResult::Wait::nothing) {
    return finish(connection,
                  facts,
                  {.status = response.status,
                   .outcome = response.outcome,
                   .keep = keep,
                   .result = result,
                   .failure = failure});
  }
  response.headers = Headers{}; // they are on their way
  connection.pending =
      std::make_unique<PendingAnswer>(facts, std::move(response), std::move(failure));
  connection.pending->keep = keep;
  return wait_or_finish(connection, result);
}

Next Exchange::finish(Connection& connection, const RequestFacts& facts, const Ending& ending) {
  connection.answered.store(true, std::memory_order_relaxed);
  if (site_.access_log) {
    const auto duration = std::chrono::duration_cast<std::chrono::microseconds>(
        site_.clock.steady_now() - facts.started);
    site_.access_log({.method = facts.method_name,
                      .protocol = facts.protocol,
                      .target = facts.target,
                      .status = ending.status,
                      .method_kind = facts.method,
                      .outcome = ending.outcome,
                      .bytes_sent = ending.result.body_bytes,
                      .bytes_received = facts.received,
                      .duration = duration,
                      .client_address = facts.client_address,
                      .aborted = !ending.result.complete,
                      .failure = ending.result.complete ? ending.failure : ending.result.failure});
  }
  if (!ending.result.complete) {
    return Next::reset;
  }
  if (ending.keep) {
    connection.discard_left = facts.body_left.value_or(0); // can_keep() has seen that it is known
    return Next::wait;
  }
  // A client that asked for the close and has sent all of its request has nothing in flight that
  // could turn our close into a reset.
  const bool clean = !facts.keep_alive && facts.body_left == 0U && connection.input.empty();
  return clean ? Next::close : Next::linger;
}

Next Exchange::refuse(Connection& connection, int status, std::string_view message) {
  request_id_ = ids_.next();
  const ops::RequestScope scope(request_id_);
  Response response = make_error(status, message);
  const AnswerResult answer = writer_.write(connection.socket,
                                            response,
                                            {.is_head_request = head_.method == "HEAD",
                                             .is_http_1_0 = head_.is_http_1_0,
                                             .keep_alive = false,
                                             .request_id = request_id_,
                                             .write_timeout = site_.options.write_timeout,
                                             .rate_min = site_.options.transfer_rate_min,
                                             .throttle = nullptr});
  if (site_.access_log) {
    site_.access_log({.method = head_.method,
                      .protocol = {},
                      .target = head_.target,
                      .status = status,
                      .bytes_sent = answer.body_bytes,
                      .client_address = connection.peer,
                      .aborted = !answer.complete,
                      .failure = answer.failure});
  }
  return answer.complete ? Next::linger : Next::reset;
}

} // namespace pkc::http
