#include "soci_session.hpp"

#include "pkc/base/assert.hpp"

#include <soci/soci.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace pkc::sql {
namespace {

/// A place that SOCI reads a parameter from or writes a column to; it keeps the address.
struct Cell {
  Type type = Type::integer;
  long long integer = 0;
  std::string text;
  soci::indicator indicator = soci::i_ok;
};

using Cells = std::deque<Cell>;

Cells make_cells(const std::vector<Type>& types) {
  Cells cells;
  for (const Type type : types) {
    cells.emplace_back().type = type;
  }
  return cells;
}

void fill_cell(Cell& cell, const Value& value) {
  const auto* const number = std::get_if<std::int64_t>(&value);
  PKC_ASSERT((cell.type == Type::integer) == (number != nullptr));
  if (number != nullptr) {
    cell.integer = *number;
  } else {
    cell.text = std::get<std::string_view>(value);
  }
}

void fill(Cells& cells, Values values) {
  PKC_ASSERT(cells.size() == values.all().size());
  auto cell = cells.begin();
  for (const Value& value : values.all()) {
    fill_cell(*cell, value);
    ++cell;
  }
}

class CellRow final : public Row {
 public:
  explicit CellRow(const Cells& cells) : cells_(cells) {}
  [[nodiscard]] std::int64_t integer(std::size_t column) const override {
    const Cell& cell = at(column, Type::integer);
    return cell.indicator == soci::i_null ? 0 : cell.integer;
  }
  [[nodiscard]] std::string_view text(std::size_t column) const override {
    const Cell& cell = at(column, Type::text);
    return cell.indicator == soci::i_null ? std::string_view() : std::string_view(cell.text);
  }

 private:
  [[nodiscard]] const Cell& at(std::size_t column, Type type) const {
    PKC_ASSERT(column < cells_.size());
    PKC_ASSERT(cells_[column].type == type);
    return cells_[column];
  }
  const Cells& cells_;
};

} // namespace

class SociSession::Prepared {
 public:
  Prepared(soci::session& session, const Query& query)
      : parameters_(make_cells(query.parameters)),
        columns_(make_cells(query.columns)),
        statement_(session) {
    for (Cell& cell : columns_) {
      cell.type == Type::integer ? statement_.exchange(soci::into(cell.integer, cell.indicator))
                                 : statement_.exchange(soci::into(cell.text, cell.indicator));
    }
    for (Cell& cell : parameters_) {
      cell.type == Type::integer ? statement_.exchange(soci::use(std::as_const(cell.integer)))
                                 : statement_.exchange(soci::use(std::as_const(cell.text)));
    }
    statement_.alloc();
    statement_.prepare(query.text);
    statement_.define_and_bind();
  }

  std::uint64_t run(Values values) {
    PKC_ASSERT(columns_.empty());
    fill(parameters_, values);
    statement_.execute(true);
    return static_cast<std::uint64_t>(statement_.get_affected_rows());
  }

  /// To the end of the result, as a statement that is not at its end holds the snapshot it reads.
  void each(Values values, const Take& take) {
    fill(parameters_, values);
    const CellRow row(columns_);
    for (bool more = statement_.execute(true); more; more = statement_.fetch()) {
      take(row);
    }
  }

 private:
  Cells parameters_;
  Cells columns_;
  soci::statement statement_; // behind the cells, whose addresses it has
};

SociSession::SociSession(std::unique_ptr<soci::session> session, Engine engine, Classify classify)
    : session_(std::move(session)), engine_(engine), classify_(classify) {}

SociSession::~SociSession() = default;

SociSession::Prepared& SociSession::prepared(const Query& query) {
  std::unique_ptr<Prepared>& slot = statements_[&query];
  if (!slot) {
    slot = std::make_unique<Prepared>(*session_, query);
  }
  return *slot;
}

void SociSession::forget(const Query& query) {
  statements_.erase(&query);
}

Result<std::uint64_t> SociSession::run(const Query& query, Values values) {
  auto result =
      guarded(classify_, [&]() -> Result<std::uint64_t> { return prepared(query).run(values); });
  if (!result) {
    forget(query);
  }
  return result;
}

Result<void> SociSession::each(const Query& query, Values values, const Take& take) {
  auto result = guarded(classify_, [&]() -> Result<void> {
    prepared(query).each(values, take);
    return {};
  });
  if (!result) {
    forget(query);
  }
  return result;
}

Result<void> SociSession::execute(std::string_view text) {
  return guarded(classify_, [&]() -> Result<void> {
    *session_ << std::string(text);
    return {};
  });
}

Result<void> SociSession::prepare(const Query& query) {
  return guarded(classify_, [&]() -> Result<void> {
    const Prepared tried(*session_, query);
    return {};
  });
}

Result<Txn> Txn::begin(Session& session) {
  TRY(session.execute(dialect(session.engine()).begin()));
  return Txn(session);
}

Result<void> Txn::commit() {
  PKC_ASSERT(open_ != nullptr);
  TRY(open_->execute("COMMIT")); // on failure what is still open is rolled back by the destructor
  const Session* const done = open_.release();
  PKC_ASSERT(done != nullptr);
  return {};
}

void Txn::RollBack::operator()(Session* session) const {
  // Fails when the engine has done it already, and then nothing is left to do.
  [[maybe_unused]] const auto undone = session->execute("ROLLBACK");
}

Result<std::unique_ptr<Session>> connect(const Options& options) {
  if (options.engine == Engine::sqlite) {
    return connect_sqlite(options);
  }
  return fail(Errc::io, "built without " + std::string(to_string(options.engine)));
}

Result<void> set_sync(Session& session, Sync sync) {
  if (session.engine() != Engine::sqlite) {
    return {};
  }
  return session.execute(sync == Sync::at_commit ? "PRAGMA synchronous = FULL"
                                                 : "PRAGMA synchronous = NORMAL");
}

} // namespace pkc::sql
