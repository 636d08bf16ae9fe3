#include "redaction.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

namespace pkc::app {
namespace {

TEST_SUITE("app::redacted") {
  TEST_CASE("query values and the users of URLs are hidden, keys are not") {
    struct Row {
      std::string_view target;
      std::string_view shown;
    };
    constexpr std::array kRows = {
        Row{"", ""},
        Row{"/v1/artifacts/00ff", "/v1/artifacts/00ff"},
        Row{"/a?", "/a?"},
        Row{"/a?token=abc", "/a?token=***"},
        Row{"/a?token=", "/a?token=***"},
        Row{"/a?token=a=b", "/a?token=***"},
        Row{"/a?secret", "/a?***"},
        Row{"/a?x=1&&y=2&z", "/a?x=***&&y=***&***"},
        Row{"/a?x=1?y=2", "/a?x=***"},
        Row{"/fetch?url=https://me:pw@host/x", "/fetch?url=***"},
        Row{"http://me:pw@host/v1?k=v", "http://***@host/v1?k=***"},
        Row{"http://me@host", "http://***@host"},
        Row{"http://a@b@host/x", "http://***@host/x"},
        Row{"/fetch/https://me:pw@host/a@b", "/fetch/https://***@host/a@b"},
        Row{"/fetch/http://h/http://me:pw@host", "/fetch/http://h/http://***@host"},
        Row{"/scope@pkg", "/scope@pkg"},
    };
    for (const Row& row : kRows) {
      std::string room;
      CAPTURE(row.target);
      CHECK(redacted(row.target, room) == row.shown);
    }
  }
}

} // namespace
} // namespace pkc::app
