// Checks: each gathers facts about one side of the machine and tells what they mean.
#pragma once

#include "bounded.hpp"

#include "pkc/config/settings.hpp"

namespace pkc::app {

/// The storage directory: rights, server, file system, room, and whether writing works.
void check_storage(const config::Settings& settings, const FindingSink& sink, Facts& facts);

/// Whether clients could arrive: the address, certificates, proxies.
void check_network(const config::Settings& settings, const FindingSink& sink, const Facts& facts);

/// The auth file, and who gets in without a token.
void check_access(const config::Settings& settings, const FindingSink& sink);

/// Limits of this user, the clock, the kernel.
void check_machine(const config::Settings& settings, const FindingSink& sink);

/// "polykit", or the number of a user without a name.
std::string user_name(uid_t user);

} // namespace pkc::app
