// The rules, applied to this tree.
#include "rules.hpp"

#include <doctest/doctest.h>

TEST_SUITE("lint::Tree") {
  TEST_CASE("tree: keeps every rule of the house") {
    const pkc::lint::Tree tree = pkc::lint::load_tree(PKC_LINT_ROOT, PKC_LINT_LAYERS);
    REQUIRE(tree.files.size() > 50);
    REQUIRE(tree.layers.size() > 5);

    for (const auto rules : {pkc::lint::include_rules(), pkc::lint::text_rules()}) {
      for (const pkc::lint::Rule& rule : rules) {
        pkc::lint::Findings findings;
        rule.check(tree, findings);
        for (const pkc::lint::Finding& finding : findings) {
          FAIL_CHECK(rule.name << "\n  " << to_string(finding));
        }
      }
    }
  }
}
