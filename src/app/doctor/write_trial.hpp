// Write trial: does a storage directory take a file as the server writes one?
#pragma once

#include "pkc/app/doctor.hpp"

#include <string>

namespace pkc::app {

/// Writes a file of one page where uploads begin, syncs it, renames it into the directory, asks
/// for it with other letters, syncs the directory, and removes it. A crash leaves it: the next
/// start of a server sweeps the first name, and the second, ".polykit-cache-doctor-<process>", is
/// empty of meaning. Blocks on the disk.
void try_writing(const std::string& directory, const FindingSink& sink);

} // namespace pkc::app
