// Database: the open database of an index, and what may have to be done until it is open.
#pragma once

#include "statements.hpp"

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"
#include "pkc/index/sql_index.hpp"
#include "pkc/ops/log.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace pkc::index {

/// A SQLite database with our schema in it. Immutable; the session for writing is the index
/// thread's.
struct Database {
  std::unique_ptr<sql::Session> writer;
  std::unique_ptr<sql::Pool> readers;
  std::uint64_t inode = 0;
};

struct DatabaseOptions {
  std::string path;
  /// How long a query may wait for others; the thread itself comes again and waits less at a time.
  std::chrono::milliseconds lock_timeout{2500};
  Broken broken = Broken::replaced;
};

/// Opens and migrates, or begins anew after moving aside what is damaged, not ours or not writable
/// for us, if that is allowed. Errors: unavailable (locked by another program), conflict (made by a
/// newer version; left alone), io, no_space, corrupt (and to be kept).
Result<std::unique_ptr<Database>> open_database(const DatabaseOptions& options,
                                                const Statements& statements,
                                                const Clock& clock,
                                                ops::Log& log);

/// Gives the file of a damaged database, which nobody of ours uses any more, another name. Does
/// nothing when the path leads to another file by now. Errors: io.
Result<void> move_aside(const std::string& path, std::uint64_t inode, ops::Log& log);

/// Whether the path still leads to the file that is open.
bool is_in_place(const std::string& path, std::uint64_t inode);

} // namespace pkc::index
