// The schema of the database, as the steps that led to it.
#pragma once

#include "pkc/base/clock.hpp"
#include "pkc/base/result.hpp"
#include "pkc/base/sql.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace pkc::index {

/// Schema, version 3:
///
///   schema_steps  one row per step taken: version, applied_at
///   spaces        one row per space, with its totals, which are changed in the transaction that
///                 changes the objects
///   objects       one row per object; noted_at is when the last note that was not a read was made
///   sources       since version 2: one row per object of a space whose objects are records of
///                 downloads, when it is known what the record says. `url_head` is the beginning of
///                 source_url, as much as an index takes; a URL is in a space once, as the key of
///                 its object is made of it
///   source_totals since version 3: one row per space that ever had a source, with sums over them
///                 and over the hits of their objects, which are changed in the transaction that
///                 changes these
///   facts         name and value: put_fact(), and what begins with "index." is our own
///   writers       one row per process that has the database open for writing: everything that it
///                 noted before noted_until is in the database. Removed at a clean end
///
/// Times are milliseconds since 1970 UTC, truth values 0 and 1. `object_key` and not `key`, which
/// MySQL keeps for itself.
///
/// What a step does to the schema; never changed once it was released.
using Step = std::vector<std::string>;

/// The step that leads from version i to i + 1 is at i.
std::vector<Step> schema_steps(const sql::Dialect& dialect);

/// "PKCI": written into the header of a SQLite file, so that nobody else's is taken for ours.
constexpr std::int64_t kSqliteApplicationId = 0x504b4349;

/// Takes the steps that are missing, each in a transaction of its own (MySQL: a step that was
/// interrupted is taken again). Two processes may do this at once. Errors: conflict when the
/// database has steps that we do not know; those of Session.
Result<void> migrate(sql::Session& session, std::span<const Step> steps, const Clock& clock);

/// Whether another process has taken the database to a newer version since. Errors: conflict then;
/// those of Session.
Result<void> check_version(sql::Session& session, std::size_t newest_known);

} // namespace pkc::index
