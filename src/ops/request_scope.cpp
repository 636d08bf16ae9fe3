#include "pkc/ops/log.hpp"

#include <utility>

namespace pkc::ops {
namespace {

// Not shared by threads, and nobody but a scope on the stack of this one sets it.
thread_local std::string_view current_request;

} // namespace

RequestScope::RequestScope(std::string_view id) : outer_(std::exchange(current_request, id)) {}

RequestScope::~RequestScope() {
  current_request = outer_;
}

std::string_view request_id() {
  return current_request;
}

} // namespace pkc::ops
