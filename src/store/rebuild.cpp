#include "pkc/store/rebuild.hpp"

namespace pkc::store {

bool Rebuild::begin() {
  const auto status = status_.lock();
  if (status->phase == Phase::waiting || status->phase == Phase::running) {
    return false;
  }
  *status = {.phase = Phase::waiting, .progress = {}};
  return true;
}

Rebuild::Status Rebuild::status() {
  return *status_.lock();
}

bool Rebuild::take() {
  const auto status = status_.lock();
  if (status->phase != Phase::waiting) {
    return false;
  }
  status->phase = Phase::running;
  return true;
}

void Rebuild::report(const CompareProgress& progress) {
  status_.lock()->progress = progress;
}

void Rebuild::end(bool whole) {
  status_.lock()->phase = whole ? Phase::done : Phase::failed;
}

} // namespace pkc::store
