#include "fetch/fetch_log.hpp"

#include <chrono>

namespace pkc::protocols::fetch {

namespace {

std::string without_query(std::string_view url) {
  const std::size_t query = url.find('?');
  return query == std::string_view::npos ? std::string(url)
                                         : std::string(url.substr(0, query)) + "?***";
}

} // namespace

std::int64_t FetchLog::milliseconds_since(SteadyTime begun) const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(clock_.steady_now() - begun).count();
}

void FetchLog::hit(const Asked& asked, ByteCount size) const {
  if (log_.enabled(ops::LogLevel::debug)) {
    log_.debug("cache HIT",
               {{"source_url", without_query(asked.source_url)},
                {"size_bytes", size},
                {"duration_ms", milliseconds_since(asked.begun)},
                {"client_ip", asked.client}});
  }
}

void FetchLog::downloaded(const Asked& asked, ByteCount size) const {
  log_.info("cache MISS - downloaded from upstream",
            {{"source_url", without_query(asked.source_url)},
             {"size_bytes", size},
             {"duration_ms", milliseconds_since(asked.begun)},
             {"client_ip", asked.client}});
}

void FetchLog::failed(const Asked& asked, std::string_view reason) const {
  log_.warn("fetch failed",
            {{"source_url", without_query(asked.source_url)},
             {"duration_ms", milliseconds_since(asked.begun)},
             {"client_ip", asked.client},
             {"error", reason}});
}

} // namespace pkc::protocols::fetch
