// The stimulus has to reach what the proofs claim to cover. The golden model counts: a stimulus
// that cannot tell two contracts apart would let a unit of one pass for the other.
#include "testbench/stimulus.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "models/golden.h"
#include "testbench/axes.h"

namespace blockdot::testbench {
namespace {

using formats::DotSpec;

Stimulus stimulus_of(const DotSpec& spec) {
  Stimulus stimulus = directed_stimulus(spec);
  for (const Cycle& cycle : random_stimulus(spec, 7, 200)) stimulus.push_back(cycle);
  return stimulus;
}

std::vector<std::uint32_t> results(const DotSpec& spec, const Stimulus& stimulus) {
  models::GoldenDot golden(spec);
  std::vector<std::uint32_t> codes;
  for (const Cycle& cycle : stimulus) {
    if (!cycle.valid) continue;
    if (auto code = golden.step(cycle.beat())) codes.push_back(*code);
  }
  return codes;
}

int differences(const DotSpec& one, const DotSpec& other, const Stimulus& stimulus) {
  std::vector<std::uint32_t> x = results(one, stimulus), y = results(other, stimulus);
  int count = 0;
  for (size_t i = 0; i < x.size(); ++i) count += x[i] != y[i];
  return count;
}

/// Exponent of the largest value that an operand holds.
int reach(const formats::BlockFormat& format) {
  switch (format.scale.kind) {
    case formats::ScaleKind::kNone:
    case formats::ScaleKind::kInteger:  // no unit takes these two
    case formats::ScaleKind::kCodeBook:
      return max_exponent(format.element);
    case formats::ScaleKind::kE8M0:
      return max_exponent(format.element) + 127;
    case formats::ScaleKind::kMinifloat:
      return max_exponent(format.element) + max_exponent(format.scale.minifloat);
  }
  return 0;
}

class EveryOperands : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Proof, EveryOperands,
                         ::testing::Range(0, static_cast<int>(all_operands().size())),
                         [](const auto& p) {
                           return all_operands()[static_cast<size_t>(p.param)].name;
                         });

TEST_P(EveryOperands, StimulusTellsEveryTwoValuesOfEachAxisApart) {
  for (Axis axis : {Axis::kAccumulator, Axis::kRounding}) {
    for (int x = 0; x < axis_size(axis); ++x) {
      for (int y = x + 1; y < axis_size(axis); ++y) {
        Point one{GetParam(), 0, 0, 1, 0, 0};
        Point other = one;
        one[static_cast<size_t>(axis)] = x;
        other[static_cast<size_t>(axis)] = y;
        Stimulus stimulus = stimulus_of(spec_of(one));
        EXPECT_GE(differences(spec_of(one), spec_of(other), stimulus), 3)
            << name_of(one) << " passes for " << name_of(other);
      }
    }
  }
}

TEST_P(EveryOperands, ResultsReachZerosSubnormalsLargestValuesAndSpecials) {
  for (const char* output : {"bf16", "e5m2"}) {
    DotSpec spec = spec_of({GetParam(), 0, 0, 0, 0, 0});
    spec.output = formats::parse_element(output);
    std::set<std::string> seen;
    int finite = 0;
    for (std::uint32_t code : results(spec, stimulus_of(spec))) {
      double value = decode(spec.output, code);
      if (std::isnan(value)) seen.insert("nan");
      if (std::isinf(value)) seen.insert(value > 0 ? "+inf" : "-inf");
      if (!std::isfinite(value)) continue;
      ++finite;
      if (value == 0) seen.insert(std::signbit(value) ? "-0" : "+0");
      if (std::fabs(value) == max_value(spec.output)) seen.insert("largest");
      if (std::fabs(value) == min_positive(spec.output)) seen.insert("smallest");
      if (value != 0 && std::fabs(value) < std::ldexp(1, 1 - spec.output.bias))
        seen.insert("subnormal");
    }
    EXPECT_GT(finite, 200);
    // int8 under an E4M3 scale comes neither near the ends of bf16 nor below its smallest.
    std::set<std::string> wanted = {"+0"};
    if (reach(spec.a) + reach(spec.b) > max_exponent(spec.output))
      wanted.insert({"+inf", "-inf", "largest", "-0", "smallest", "subnormal"});
    // Two code books have no significands of ones to make the largest value from.
    if (spec.a.element.kind == formats::ElementKind::kCodeBook &&
        spec.b.element.kind == formats::ElementKind::kCodeBook)
      wanted.erase("largest");
    if (!always_finite(spec.a) || !always_finite(spec.b)) wanted.insert("nan");
    for (const std::string& what : wanted)
      EXPECT_TRUE(seen.count(what)) << what << " for " << output;
  }
}

TEST(Stimulus, HasBubblesBackToBackFramesAndFramesOfManyBeats) {
  DotSpec spec = spec_of({0, 0, 0, 0, 0, 0});
  int bubbles = 0, back_to_back = 0, bubble_inside = 0, longest = 0, length = 0, given_up = 0;
  bool last_was_last = false, open = false;
  for (const Cycle& cycle : stimulus_of(spec)) {
    bubbles += !cycle.valid;
    bubble_inside += !cycle.valid && open;
    if (cycle.valid) {
      back_to_back += cycle.first && last_was_last;
      given_up += cycle.first && open;
      length = cycle.first ? 1 : length + 1;
      longest = std::max(longest, length);
      open = !cycle.last;
    }
    last_was_last = cycle.valid && cycle.last;
  }
  EXPECT_GT(bubbles, 50);
  EXPECT_GT(bubble_inside, 10);
  EXPECT_GT(back_to_back, 100);
  EXPECT_EQ(longest, spec.max_k / spec.lanes);
  EXPECT_GT(given_up, 0);
}

TEST(Stimulus, TellsTheSpecialsPoliciesApart) {
  for (int operands : {1, 24}) {  // e5m2, bf16
    DotSpec ieee = spec_of({operands, 0, 0, 0, 0, 0}), nan = spec_of({operands, 0, 0, 0, 1, 0});
    EXPECT_GT(differences(ieee, nan, stimulus_of(ieee)), 10);
  }
}

TEST(PairwisePoints, HoldEveryPairOfValuesOfTwoAxes) {
  std::set<std::array<int, 4>> seen;
  for (const Point& point : pairwise_points())
    for (int x = 0; x < kAxes; ++x)
      for (int y = x + 1; y < kAxes; ++y)
        seen.insert({x, point[static_cast<size_t>(x)], y, point[static_cast<size_t>(y)]});
  size_t wanted = 0;
  for (int x = 0; x < kAxes; ++x)
    for (int y = x + 1; y < kAxes; ++y)
      wanted +=
          static_cast<size_t>(axis_size(static_cast<Axis>(x)) * axis_size(static_cast<Axis>(y)));
  EXPECT_EQ(seen.size(), wanted);
}

}  // namespace
}  // namespace blockdot::testbench
