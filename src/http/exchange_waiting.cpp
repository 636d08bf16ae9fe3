// Answers that wait: the part of Exchange between the first worker of a request and the last.
#include "exchange.hpp"

#include "pkc/ops/log.hpp"

#include <memory>
#include <string>
#include <utility>
#include <variant>

namespace pkc::http {

namespace {

/// Any number of them may come before the answer (RFC 9110 section 15.2).
constexpr std::string_view kInterimAnswer = "HTTP/1.1 102 Processing\r\n\r\n";

} // namespace

Next Exchange::resume(Connection& connection, const WaitingRoom::Turn& turn) {
  memory_.lend_to(connection.input);
  Next next = go_on(connection, turn);
  if (next == Next::wait) { // answered, and the next request may have come meanwhile
    next = read_requests(connection);
  }
  memory_.take_back(connection.input);
  return next;
}

Next Exchange::go_on(Connection& connection, const WaitingRoom::Turn& turn) {
  PendingAnswer& pending = *connection.pending;
  request_id_ = pending.request_id; // which outlives `pending`
  const ops::RequestScope scope(request_id_);
  if (site_.cut_off->is_set()) {
    return give_up(connection, "the server stops");
  }
  if (pending.waits_for == PendingAnswer::For::client) {
    pending.begun().pace.waited(site_.clock.steady_now() - pending.waiting_since);
    // The kernel tells of room only when a third of its buffer is free. A client that takes less
    // than that until the deadline is slow but has not stalled.
    if (turn.expired && connection.socket.untaken() >= pending.untaken) {
      return give_up(connection, "the client stalled");
    }
  } else if (pending.waits_for == PendingAnswer::For::turn ? !turn.expired : !turn.woken) {
    return look_at_peer(connection);
  }
  before_blocking_();
  return pending.sending ? send_rest(connection) : resume_deferred(connection);
}

/// There was news of a socket that nothing is expected of.
Next Exchange::look_at_peer(Connection& connection) {
  PendingAnswer& pending = *connection.pending;
  const Peer peer = connection.socket.peer();
  if (peer == Peer::gone) {
    return give_up(connection, "the client left");
  }
  // Who closes says no more than who only has no more to send, until it is sent something: then the
  // one who has closed answers with a reset. Where a body is on its way, its next piece will do.
  if (peer == Peer::half_closed && !pending.sending) {
    Pace no_wait(site_.clock, std::chrono::milliseconds{0});
    const bool sent =
        !pending.facts.is_http_1_0 &&
        connection.socket.send_all(as_bytes(kInterimAnswer), More::no, no_wait).has_value();
    if (!sent) {
      return give_up(connection, "the client left");
    }
    pending.watch = WaitingRoom::Watch::reset;
  }
  return Next::await;
}

/// Waits for what the handler has promised.
Next Exchange::defer(Connection& connection) {
  PendingAnswer& pending = *connection.pending;
  pending.seat = site_.waiting->open(connection);
  pending.waits_for = PendingAnswer::For::wake;
  pending.watch = WaitingRoom::Watch::hang_up;
  Response problem = call(
      [&] {
        std::get<Deferred>(pending.response.body).subscribe(pending.seat.wake());
        return Response{};
      },
      pending.failure);
  if (pending.failure.empty()) {
    return Next::await;
  }
  const auto failed = std::move(connection.pending);
  failed->seat = {};
  return answer(connection, failed->facts, std::move(problem), std::move(failed->failure));
}

Next Exchange::resume_deferred(Connection& connection) {
  const auto deferred = std::move(connection.pending);
  deferred->seat = {};
  Response response =
      call(std::move(std::get<Deferred>(deferred->response.body).resume), deferred->failure);
  deferred->response.body = std::string();                // with all that it has captured
  if (response.status / 100 == 2 && !response.throttle) { // an error is short
    response.throttle = std::move(deferred->response.throttle);
  }
  return answer(connection, deferred->facts, std::move(response), std::move(deferred->failure));
}

Next Exchange::send_rest(Connection& connection) {
  PendingAnswer& pending = *connection.pending;
  pending.seat = {};
  return wait_or_finish(
      connection, writer_.go_on(connection.socket, pending.response, std::move(pending.begun())));
}

/// What becomes of a pending answer that the writer got so far with.
Next Exchange::wait_or_finish(Connection& connection, const AnswerResult& result) {
  if (result.wait == AnswerResult::Wait::nothing) {
    const auto finished = std::move(connection.pending);
    return finish(connection,
                  finished->facts,
                  {.status = finished->response.status,
                   .outcome = finished->response.outcome,
                   .keep = finished->keep,
                   .result = result,
                   .failure = finished->failure});
  }
  PendingAnswer& pending = *connection.pending;
  pending.sending = writer_.put_aside();
  pending.seat = site_.waiting->open(connection);
  if (result.wait == AnswerResult::Wait::turn) {
    pending.waits_for = PendingAnswer::For::turn;
    pending.watch = WaitingRoom::Watch::reset;
    pending.deadline = pending.begun().turn_at;
    return Next::await;
  }
  if (result.wait != AnswerResult::Wait::source) {
    return wait_for_client(connection,
                           result.wait == AnswerResult::Wait::output ? WaitingRoom::Watch::output
                                                                     : WaitingRoom::Watch::input);
  }
  pending.waits_for = PendingAnswer::For::wake;
  pending.watch = WaitingRoom::Watch::reset;
  pending.deadline = SteadyTime::max();
  std::get<PiecesBody>(pending.response.body)
      .source->when_ready(pending.begun().next_offset, pending.seat.wake());
  return Next::await;
}

/// The same bounds as Socket::send() has.
Next Exchange::wait_for_client(Connection& connection, WaitingRoom::Watch watch) {
  PendingAnswer& pending = *connection.pending;
  pending.untaken = connection.socket.untaken();
  if (pending.begun().pace.too_slow(pending.untaken)) {
    return give_up(connection, "the client is too slow");
  }
  pending.waits_for = PendingAnswer::For::client;
  pending.watch = watch;
  pending.waiting_since = site_.clock.steady_now();
  pending.deadline = pending.waiting_since + site_.options.write_timeout;
  return Next::await;
}

Next Exchange::give_up(Connection& connection, std::string_view why) {
  const auto pending = std::move(connection.pending);
  const AnswerResult result{
      .body_bytes = pending->body_sent(), .complete = false, .failure = std::string(why)};
  return finish(connection,
                pending->facts,
                {.status = pending->sending ? pending->response.status : 0,
                 .outcome = pending->response.outcome,
                 .result = result,
                 .failure = {}});
}

} // namespace pkc::http
