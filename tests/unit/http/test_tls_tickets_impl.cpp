#include "support/fake_clock.hpp"
#include "tls_tickets.hpp"

#include <doctest/doctest.h>

#include <array>

namespace pkc::http {
namespace {

TEST_SUITE("http::TlsTickets") {
  TEST_CASE("current: stays for its life, then another takes over") {
    pkc::test::FakeClock clock;
    TlsTickets tickets(clock);
    const auto first = tickets.current();
    REQUIRE(first);

    clock.advance(TlsTickets::kKeyLife - std::chrono::seconds(1));
    CHECK(tickets.current()->name == first->name);
    clock.advance(std::chrono::seconds(1));
    const auto second = tickets.current();

    CHECK(second->name != first->name);
    CHECK(second->cipher != first->cipher);
    CHECK(second->mac != first->mac);
  }

  TEST_CASE("find: knows the current key and the one before, and no other") {
    pkc::test::FakeClock clock;
    TlsTickets tickets(clock);
    const auto first = tickets.current();
    clock.advance(TlsTickets::kKeyLife);
    const auto second = tickets.current();

    CHECK(tickets.find(first->name)->cipher == first->cipher);
    CHECK(tickets.find(second->name)->cipher == second->cipher);
    CHECK_FALSE(tickets.find(std::array<unsigned char, TicketKey::kNameSize>{}));
    clock.advance(TlsTickets::kKeyLife);
    CHECK(tickets.current());
    CHECK_FALSE(tickets.find(first->name));
    CHECK(tickets.find(second->name));
  }
}

} // namespace
} // namespace pkc::http
