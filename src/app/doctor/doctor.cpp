#include "pkc/app/doctor.hpp"

#include "bounded.hpp"
#include "checks.hpp"

#include <chrono>

namespace pkc::app {

void examine(const config::Settings& settings, const FindingSink& sink) {
  constexpr std::chrono::seconds kPatience{15}; // longer than an fsync on a busy disk
  Facts facts;
  const auto run = [&](const char* subject, const Check& check) {
    run_bounded(subject, kPatience, check, sink, facts);
  };
  run("directory",
      [&](const FindingSink& tell, Facts& found) { check_storage(settings, tell, found); });
  run("address",
      [&](const FindingSink& tell, const Facts& found) { check_network(settings, tell, found); });
  run("tokens",
      [&](const FindingSink& tell, const Facts& /*found*/) { check_access(settings, tell); });
  run("machine",
      [&](const FindingSink& tell, const Facts& /*found*/) { check_machine(settings, tell); });
}

} // namespace pkc::app
