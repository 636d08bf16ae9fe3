#include "pkc/base/assert.hpp"
#include "pkc/base/guarded.hpp"
#include "pkc/base/sql.hpp"

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace pkc::sql {
namespace {

class SessionPool final : public Pool {
 public:
  SessionPool(const Clock& clock, Options options, std::size_t sessions_max)
      : clock_(clock), options_(std::move(options)), sessions_max_(sessions_max) {
    PKC_ASSERT(sessions_max > 0);
  }

  Result<Lease> lease(SteadyTime deadline) override;
  void close() override;

 private:
  struct Sessions {
    std::vector<std::unique_ptr<Session>> free;
    std::size_t leased = 0;
    bool closed = false;
  };

  void give_back(std::unique_ptr<Session> session) override;

  const Clock& clock_;
  const Options options_;
  const std::size_t sessions_max_;
  Guarded<Sessions> sessions_;
  std::condition_variable returned_;
};

Result<Pool::Lease> SessionPool::lease(SteadyTime deadline) {
  std::unique_ptr<Session> session;
  {
    auto sessions = sessions_.lock();
    while (sessions->leased == sessions_max_) {
      if (clock_.steady_now() >= deadline) {
        return fail(Errc::unavailable, "no free database session");
      }
      returned_.wait_until(sessions.lock(), deadline);
    }
    ++sessions->leased;
    if (!sessions->free.empty()) {
      session = std::move(sessions->free.back());
      sessions->free.pop_back();
    }
  }
  if (!session) {
    auto opened = connect(options_);
    if (!opened) {
      give_back(nullptr);
      return std::unexpected(std::move(opened).error());
    }
    session = std::move(*opened);
  }
  return Lease(session.release(), GiveBack{this});
}

void SessionPool::give_back(std::unique_ptr<Session> session) {
  {
    auto sessions = sessions_.lock();
    --sessions->leased;
    if (session && !sessions->closed) {
      sessions->free.push_back(std::move(session));
    }
  }
  returned_.notify_one();
} // closes the session here, outside of the lock, when the pool did not take it

void SessionPool::close() {
  std::vector<std::unique_ptr<Session>> closing;
  auto sessions = sessions_.lock();
  sessions->closed = true;
  std::swap(closing, sessions->free);
}

} // namespace

void Pool::GiveBack::operator()(Session* session) const {
  pool->give_back(std::unique_ptr<Session>(session));
}

std::unique_ptr<Pool> make_pool(const Clock& clock, Options options, std::size_t sessions_max) {
  return std::make_unique<SessionPool>(clock, std::move(options), sessions_max);
}

} // namespace pkc::sql
