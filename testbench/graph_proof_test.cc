// The graph of a unit, under the interpreter, against the golden model: the whole product of the
// axes in axes.h but the schedule, 9000 contracts. The oracle is models::GoldenDot, which shares
// nothing with rtl_gen but the format constants.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

class EveryContract : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Graph, EveryContract,
                         ::testing::Range(0, static_cast<int>(all_operands().size())),
                         [](const auto& p) {
                           return all_operands()[static_cast<size_t>(p.param)].name;
                         });

TEST_P(EveryContract, OfTheseOperandsIsComputedByItsGraph) {
  std::uint64_t seed = base_seed();
  std::int64_t checked = 0;
  int contracts = 0, failed = 0;
  for (const Point& point : every_contract(GetParam())) {
    formats::DotSpec spec = spec_of(point);
    Outcome outcome;
    try {
      rtl_gen::Graph graph = rtl_gen::build_graph(rtl_gen::UnitKind::kDot, spec);
      outcome = check_graph(graph, spec, make_exercise(spec, ++seed, 20));
    } catch (const std::exception& error) {
      outcome.mismatch = error.what();
    }
    EXPECT_TRUE(outcome.passed()) << name_of(point) << ", seed " << seed << ": "
                                  << outcome.mismatch;
    failed += !outcome.passed();
    checked += outcome.checked;
    ++contracts;
    if (failed == 5) break;  // enough to read
  }
  EXPECT_GT(checked, 100 * contracts) << "vacuous";
  fmt::print("{} contracts, {} results checked\n", contracts, checked);
}

}  // namespace
}  // namespace blockdot::testbench
