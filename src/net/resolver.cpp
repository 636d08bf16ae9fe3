#include "pkc/net/resolver.hpp"

#include "resolver_pool.hpp"

#include <netdb.h>

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

namespace pkc::net {

namespace {

std::optional<Address> address_of(const sockaddr& name) {
  if (name.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &name, sizeof(v4));
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return Address::make_v4(bytes);
  }
  if (name.sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &name, sizeof(v6));
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    return Address::make_v6(bytes);
  }
  return std::nullopt;
}

Result<std::vector<Address>> look_up(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &raw);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(raw, &::freeaddrinfo);
  if (error != 0) {
    return fail(Errc::unavailable,
                "cannot resolve the name: " + std::string(::gai_strerror(error)));
  }
  std::vector<Address> addresses;
  for (const addrinfo* entry = list.get(); entry != nullptr; entry = entry->ai_next) {
    const auto address = address_of(*entry->ai_addr);
    if (address && std::ranges::find(addresses, *address) == addresses.end()) {
      addresses.push_back(*address);
    }
  }
  if (addresses.empty()) {
    return fail(Errc::unavailable, "the name has no address");
  }
  return addresses;
}

} // namespace

ResolverPool::ResolverPool(const SystemResolverOptions& options, Lookup lookup)
    : waiting_max_(options.waiting_max), lookup_(std::move(lookup)) {
  for (std::size_t i = 0; i < std::max<std::size_t>(options.threads, 1); ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
}

std::shared_ptr<ResolverPool::Job> ResolverPool::join(const std::string& host) {
  auto state = state_.lock();
  auto& job = state->jobs[host];
  if (!job) {
    if (state->waiting.size() >= waiting_max_) {
      state->jobs.erase(host);
      return nullptr;
    }
    job = std::make_shared<Job>();
    job->host = host;
    state->waiting.push_back(job);
    work_came_.notify_one();
  }
  ++job->callers;
  return job;
}

void ResolverPool::leave(State& state, const std::shared_ptr<Job>& job) {
  --job->callers;
  const auto place = std::ranges::find(state.waiting, job);
  if (job->callers == 0 && place != state.waiting.end()) {
    state.waiting.erase(place);
    state.jobs.erase(job->host);
  }
}

Result<std::vector<Address>> ResolverPool::resolve(const std::string& host,
                                                   SteadyTime deadline,
                                                   const std::stop_token& stop) {
  const std::shared_ptr<Job> job = join(host);
  if (!job) {
    return fail(Errc::unavailable, "too many names are being resolved");
  }
  auto state = state_.lock();
  const auto is_done = [&job] { return job->result.has_value(); };
  job_done_.wait_until(state.lock(), stop, deadline, is_done);
  leave(*state, job);
  if (job->result) {
    return *job->result;
  }
  return stop.stop_requested() ? fail(Errc::unavailable, "stopped")
                               : fail(Errc::timeout, "the name was not resolved in time");
}

std::shared_ptr<ResolverPool::Job> ResolverPool::take(const std::stop_token& stop) {
  auto state = state_.lock();
  const auto has_work = [&] { return !state->waiting.empty(); };
  if (!work_came_.wait(state.lock(), stop, has_work) || stop.stop_requested()) {
    return nullptr;
  }
  const std::shared_ptr<Job> job = std::move(state->waiting.front());
  state->waiting.pop_front();
  return job;
}

void ResolverPool::run(const std::stop_token& stop) {
  static_cast<void>(::pthread_setname_np(::pthread_self(), "resolver")); // for humans only
  while (const std::shared_ptr<Job> job = take(stop)) {
    auto result = lookup_(job->host);
    auto state = state_.lock();
    state->jobs.erase(job->host);
    job->result = std::move(result);
    job_done_.notify_all();
  }
}

std::unique_ptr<Resolver> make_system_resolver(const SystemResolverOptions& options) {
  return std::make_unique<ResolverPool>(options, look_up);
}

} // namespace pkc::net
