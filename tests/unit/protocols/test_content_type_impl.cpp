#include "fetch/content_type.hpp"

#include <doctest/doctest.h>

#include <string_view>

namespace pkc::test {

namespace {

using protocols::fetch::guess_content_type;

struct Row {
  std::string_view url;
  std::string_view type;
};

} // namespace

TEST_SUITE("protocols::fetch::content_type") {
  TEST_CASE("guess_content_type: goes by the extension of the file that is named") {
    for (const Row& row : {
             Row{"https://example.org/a.json", "application/json"},
             Row{"https://example.org/a-1.2.tar.gz", "application/gzip"},
             Row{"https://example.org/A.ZIP", "application/zip"},
             Row{"https://example.org/a.html?b=c.png", "text/html"},
             Row{"https://example.org/a.zip/b", "application/octet-stream"},
             Row{"https://example.org/a.unheard-of", "application/octet-stream"},
             Row{"https://example.org/zip", "application/octet-stream"},
             Row{"https://example.org/a.", "application/octet-stream"},
             Row{"https://example.zip/", "application/octet-stream"},
         }) {
      CAPTURE(row.url);
      CHECK(guess_content_type(row.url) == row.type);
    }
  }
}

} // namespace pkc::test
