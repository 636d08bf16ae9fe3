// PendingAnswer: a request whose worker has gone on to others.
#pragma once

#include "sending.hpp"
#include "waiting_room.hpp"

#include "pkc/base/assert.hpp"
#include "pkc/base/bytes.hpp"
#include "pkc/base/clock.hpp"
#include "pkc/http/message.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace pkc::http {

/// What is needed of a request once its handler has returned.
struct RequestFacts {
  std::string_view method_name;
  Method method = Method::other;
  std::string_view protocol; ///< lives as long as the router
  std::string_view target;
  std::string_view client_address;
  std::string_view request_id;
  SteadyTime started;
  ByteCount received = 0;             ///< of its body
  std::optional<ByteCount> body_left; ///< on the wire; nothing when that cannot be known
  bool continue_pending = false;      ///< the client waits for "100 Continue" and has not got it
  bool is_http_1_0 = false;
  bool keep_alive = true; ///< the client may send another
};

/// Belongs to its connection, and to whoever owns that. A few hundred bytes and no body. Stays
/// where it is made: the facts are views of it.
struct PendingAnswer {
  PendingAnswer(const RequestFacts& of, Response given, std::string given_failure)
      : method_name(of.method_name),
        target(of.target),
        client_address(of.client_address),
        request_id(of.request_id),
        facts(of),
        response(std::move(given)),
        failure(std::move(given_failure)) {
    facts.method_name = method_name;
    facts.target = target;
    facts.client_address = client_address;
    facts.request_id = request_id;
  }
  PendingAnswer(const PendingAnswer&) = delete;
  PendingAnswer& operator=(const PendingAnswer&) = delete;
  PendingAnswer(PendingAnswer&&) = delete;
  PendingAnswer& operator=(PendingAnswer&&) = delete;
  ~PendingAnswer() = default;

  /// REQUIRES: its head is on its way.
  [[nodiscard]] Sending& begun() {
    PKC_ASSERT(sending.has_value());
    return *sending;
  }
  [[nodiscard]] ByteCount body_sent() const { return sending ? sending->body_sent : 0; }

  const std::string method_name;
  const std::string target;
  const std::string client_address;
  const std::string request_id;
  RequestFacts facts;
  Response response;              ///< Deferred, or what is being sent
  std::string failure;            ///< of the handler, for the log
  bool keep = false;              ///< as the head of the answer says
  std::optional<Sending> sending; ///< nothing: Deferred

  /// What it waits for.
  enum class For : std::uint8_t {
    wake,
    client,
    turn, ///< of its throttle
  };
  For waits_for = For::wake;
  WaitingRoom::Watch watch = WaitingRoom::Watch::reset;
  SteadyTime deadline = SteadyTime::max();
  SteadyTime waiting_since; ///< for the client
  int untaken = 0;          ///< bytes that it had not taken by then
  WaitingRoom::Seat seat;   ///< before `response` goes, which may hold its Wake
};

} // namespace pkc::http
