#include "cut_off.hpp"

#include "pkc/base/assert.hpp"

#include <sys/eventfd.h>

#include <cerrno>

namespace pkc::http {

Result<std::unique_ptr<CutOff>> CutOff::make() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) {
    return fail_errno(errno, "eventfd");
  }
  return std::unique_ptr<CutOff>(new CutOff(std::move(event)));
}

void CutOff::set() {
  if (!set_.exchange(true, std::memory_order_acq_rel)) {
    const int status = ::eventfd_write(event_.get(), 1); // can only fail for a counter that is full
    PKC_ASSERT(status == 0);
  }
}

} // namespace pkc::http
