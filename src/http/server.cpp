#include "pkc/http/server.hpp"

#include "cut_off.hpp"
#include "engine.hpp"
#include "listener.hpp"
#include "tls_entrance.hpp"
#include "waiting_room.hpp"

#include <utility>

namespace pkc::http {

Result<std::unique_ptr<Server>> Server::start(ServerOptions options,
                                              Router router,
                                              AccessLog access_log,
                                              PassedSocket passed) {
  if (options.workers_max == 0 || options.connections_max == 0 || options.uploads_max == 0 ||
      options.head_size_max == 0) {
    return fail(Errc::invalid_argument, "a limit of the HTTP server is 0");
  }
  TRY_ASSIGN(TrustedProxies proxies, TrustedProxies::parse(options.trusted_proxies));
  std::unique_ptr<TlsEntrance> tls;
  if (options.tls) {
    TRY_ASSIGN(tls, TlsEntrance::open(*options.tls, system_clock()));
  }
  TRY_ASSIGN(Listener listener,
             passed.socket ? adopt_listener(std::move(passed))
                           : open_listener(options.bind, options.port, options.socket_mode));
  TRY_ASSIGN(Poller poller, Poller::make());
  TRY_ASSIGN(auto waiting, WaitingRoom::make());
  TRY_ASSIGN(auto cut_off, CutOff::make());
  return Engine::start({std::move(listener),
                        std::move(poller),
                        std::move(proxies),
                        std::move(tls),
                        std::move(waiting),
                        std::move(cut_off)},
                       std::move(options),
                       std::move(router),
                       std::move(access_log));
}

} // namespace pkc::http
