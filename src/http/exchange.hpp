// Exchange: from the bytes of a connection to requests, and from responses back.
#pragma once

#include "client_address.hpp"
#include "connection.hpp"
#include "cut_off.hpp"
#include "head.hpp"
#include "request_id.hpp"
#include "request_parser.hpp"
#include "response_writer.hpp"
#include "upload_limit.hpp"
#include "waiting_room.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/http/server.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pkc::http {

class BodyReader;
class Throttle;

/// What every worker of a server reads and none changes, but for the flags, the uploads and the
/// waiting room.
struct Site {
  ServerOptions options;
  HeadLimits head_limits;
  TrustedProxies proxies;
  Router router;
  AccessLog access_log;
  const Clock& clock;
  UploadLimit uploads;
  UploadLimit paced;                    ///< workers that wait for the limits of tokens
  std::shared_ptr<WaitingRoom> waiting; ///< its descriptor is the poller's
  std::unique_ptr<CutOff> cut_off;      ///< of all connections
  std::atomic<bool> stopping = false;   ///< no answer keeps its connection any more
};

/// What becomes of a connection when its worker is done with it.
enum class Next : std::uint8_t {
  wait,   ///< park until bytes come
  yield,  ///< park, but come back at once: a complete request may be buffered
  await,  ///< its answer has to wait: take the seat of Connection::pending
  linger, ///< half close, then drop input until the client closes
  close,
  reset, ///< close with RST and no word of TLS: an answer has begun and is not whole
};

/// Serves the requests of the connections its worker takes. One thread at a time.
class Exchange {
 public:
  /// `before_blocking` is called before a request that may keep the worker for long.
  Exchange(Site& site, std::function<void()> before_blocking);

  /// Reads what has come on `connection` (which the caller owns) and serves every complete request
  /// in it. `expired`: time is up; what has come by now is still served. Does not wait for the rest
  /// of a head; blocks only while a request is served.
  Next advance(Connection& connection, bool expired);

  /// Goes on with the pending answer of `connection`, which the caller owns, and then as advance().
  Next resume(Connection& connection, const WaitingRoom::Turn& turn);
  /// Ends that answer, as `why` tells the log; the connection is to be reset.
  Next give_up(Connection& connection, std::string_view why);

  /// When a connection that waits now has waited too long.
  [[nodiscard]] SteadyTime wait_deadline(Connection& connection) const;

 private:
  Next read_requests(Connection& connection);
  Next serve_buffered(Connection& connection);
  Next serve(Connection& connection);
  Next refuse(Connection& connection, int status, std::string_view message);
  void name_request();
  Request make_request(const Connection& connection);
  Response respond(Request& request, const BodyReader& body, std::string& failure);
  [[nodiscard]] Throttle* admit(const RequestFacts& facts,
                                Response& response,
                                UploadLimit::Place& place);
  Response call(std::move_only_function<Response()> handler, std::string& failure) const;
  [[nodiscard]] bool can_keep(const Response& response, const RequestFacts& facts) const;

  /// An answer that is over, or given up.
  struct Ending {
    int status = 0;
    Outcome outcome = Outcome::by_status;
    bool keep = false;
    const AnswerResult& result;
    std::string_view failure; ///< of the handler
  };
  Next answer(Connection& connection,
              const RequestFacts& facts,
              Response response,
              std::string failure);
  Next finish(Connection& connection, const RequestFacts& facts, const Ending& ending);

  // Of answers that wait:
  Next defer(Connection& connection);
  Next go_on(Connection& connection, const WaitingRoom::Turn& turn);
  Next look_at_peer(Connection& connection);
  Next resume_deferred(Connection& connection);
  Next send_rest(Connection& connection);
  Next wait_or_finish(Connection& connection, const AnswerResult& result);
  Next wait_for_client(Connection& connection, WaitingRoom::Watch watch);

  Site& site_;
  const std::function<void()> before_blocking_;
  RequestParser parser_;
  ResponseWriter writer_;
  InputBuffer memory_; ///< lent to the connection that is served
  Head head_;
  std::string target_; ///< of the request being served, for the log
  RequestIds ids_;
  std::string request_id_; ///< of the same
  std::vector<std::string_view> forwarded_for_;
};

} // namespace pkc::http
