// Every ordered pair of formats of the catalogue as the operands of a unit: its graph under the
// interpreter against the golden model. The catalogue is walked, so that a format that a unit
// refuses is a failure, also one that is added later.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "formats/error.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

using formats::DotSpec;

const std::vector<formats::CatalogueEntry>& catalogue() { return formats::catalogue(); }

// What stands beside the operands, in turn.
const char* const kContracts[] = {
    "",
    "accumulator=fp32",
    "output=bf16 rounding=sr:7",
    "accumulator=bf16 output=e5m2 rounding=rna",
    "accumulator=kulisch[20:-20]:saturate output=e4m3 rounding=rtz",
    "accumulator=fp32 rounding=rtz",
    "accumulator=fp32:sr:9 output=fp32 rounding=rne",
    "accumulator=kulisch[12:-30]:wrap specials=nan",
};

// A contract that asks for what the operands cannot give (one rounding twice) falls back.
DotSpec spec_of(const std::string& a, const std::string& b, size_t turn) {
  const std::string operands = fmt::format("a={} b={} lanes=2 max-k=32 ", a, b);
  std::string rest = kContracts[turn % std::size(kContracts)];
  try {
    return formats::parse_dot_spec(operands + rest);
  } catch (const ConfigError& error) {
    if (std::string(error.what()).find("one rounding is the accumulator's") == std::string::npos)
      throw;
    return formats::parse_dot_spec(operands + "accumulator=fp32:sr:9");
  }
}

class Catalogue : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Graph, Catalogue,
                         ::testing::Range(0, static_cast<int>(catalogue().size())),
                         [](const auto& p) {
                           return catalogue()[static_cast<size_t>(p.param)].name;
                         });

TEST_P(Catalogue, FormatTimesEveryOtherIsComputedByItsGraph) {
  const std::string a = catalogue()[static_cast<size_t>(GetParam())].name;
  std::uint64_t seed = base_seed() + static_cast<std::uint64_t>(GetParam()) * 1000;
  std::int64_t checked = 0;
  int pairs = 0;
  for (size_t i = 0; i < catalogue().size(); ++i) {
    const std::string& b = catalogue()[i].name;
    DotSpec spec;
    try {
      spec = spec_of(a, b, i + static_cast<size_t>(GetParam()));
    } catch (const ConfigError& error) {
      // Beats would straddle a scale: the one thing that a pair may be refused for.
      EXPECT_NE(std::string(error.what()).find("do not divide each other"), std::string::npos)
          << a << " x " << b << ": " << error.what();
      continue;
    }
    Exercise exercise;
    exercise.seed = ++seed;
    exercise.first = random_stimulus(spec, seed, 8);
    exercise.second = directed_stimulus(spec);
    Outcome outcome;
    try {
      outcome = check_graph(rtl_gen::build_graph(rtl_gen::UnitKind::kDot, spec), spec, exercise);
    } catch (const std::exception& error) {
      outcome.mismatch = error.what();
    }
    EXPECT_TRUE(outcome.passed()) << "seed " << seed << ", " << to_text(spec) << ": "
                                  << outcome.mismatch;
    checked += outcome.checked;
    ++pairs;
    if (HasFailure()) return;
  }
  EXPECT_GE(pairs, 20) << "most of the catalogue has blocks of 2^n, or none";
  EXPECT_GT(checked, 10 * pairs) << "vacuous";
  fmt::print("{} pairs, {} results checked\n", pairs, checked);
}

// What the cost model chooses, which is what a user gets.
TEST_P(Catalogue, FormatIsComputedInTheStructuresChosenForIt) {
  const std::string a = catalogue()[static_cast<size_t>(GetParam())].name;
  for (rtl_gen::Technology technology :
       {rtl_gen::Technology::kOsu018, rtl_gen::Technology::kXilinx}) {
    const DotSpec spec = formats::parse_dot_spec("a=" + a + " lanes=2 max-k=32 accumulator=fp32");
    rtl_gen::Arch arch;
    arch.technology = technology;
    const rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, arch);
    Exercise exercise;
    exercise.seed = base_seed() + static_cast<std::uint64_t>(GetParam());
    exercise.first = random_stimulus(spec, exercise.seed, 40);
    exercise.second = directed_stimulus(spec);
    const Outcome outcome = check_graph(unit.lowered, spec, exercise);
    EXPECT_TRUE(outcome.passed()) << to_text(spec) << " " << unit.report.arch_text << ": "
                                  << outcome.mismatch;
    EXPECT_GT(outcome.checked, 100) << "vacuous";
  }
}

}  // namespace
}  // namespace blockdot::testbench
