// The graph of a unit, under the interpreter, against the golden model: the whole product of the
// axes in axes.h but the schedule, 13,860 contracts. The oracle is models::GoldenDot, which shares
// nothing with rtl_gen but the format constants.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rtl_gen/units/unit.h"
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

// Short and long terms, formats whose sums are subnormal or overflow, exact and close
// cancellations (the corners of make_exercise), every variant.
TEST(EagerRounding, OfFloatAccumulatorsRoundsAsTheGoldenModelDoes) {
  std::uint64_t seed = base_seed();
  std::int64_t checked = 0;
  for (const char* operands :
       {"a=mxfp4_e2m1 lanes=1", "a=mxfp8_e4m3 lanes=1", "a=mxfp8_e5m2 lanes=4", "a=mxint8 lanes=2",
        "a=bf16 lanes=2", "a=mx9 lanes=4"})
    for (const char* accumulator :
         {"bf16:sr:1", "bf16:sr:8", "bf16:srf:3", "bf16:src:9", "fp32:sr:16", "fp32:src:2",
          "e4m3:sr:5", "e5m2:srf:7", "e3m2:sr:32", "fp16:sr:11"}) {
      const formats::DotSpec spec =
          formats::parse_dot_spec(fmt::format("{} accumulator={} max-k=64", operands, accumulator));
      for (rtl_gen::SrPlace place : {rtl_gen::SrPlace::kLazy, rtl_gen::SrPlace::kEager}) {
        rtl_gen::Structure structure = rtl_gen::kPlain;
        structure.rounding = place;
        const Outcome outcome = check_graph(rtl_gen::build_dot_unit(spec, nullptr, structure), spec,
                                            make_exercise(spec, ++seed, 150));
        EXPECT_TRUE(outcome.passed()) << to_text(spec) << " " << to_text(structure) << ", seed "
                                      << seed << ": " << outcome.mismatch;
        checked += outcome.checked;
      }
    }
  EXPECT_GT(checked, 20'000) << "vacuous";
}

}  // namespace
}  // namespace blockdot::testbench
