// Accumulators where they are hardest pressed, beyond the axes of axes.h: Kulisch registers in
// segments whose carries run through all of them, and full registers at the last product that they
// promise to hold. The oracle is models::GoldenDot, and for the widths models::Exact over the
// decode tables of the formats.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "models/exact.h"
#include "rtl_gen/array/open_loop.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/units/unit.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

using formats::DotSpec;
using formats::ElementFormat;
using formats::parse_dot_spec;
using models::BeatBuffer;
using models::Exact;
using rtl_gen::Int;
using rtl_gen::Structure;

Structure segmented(int bits) {
  Structure structure = rtl_gen::kPlain;
  structure.segment = bits;
  return structure;
}

BeatBuffer zeros(const DotSpec& spec) {
  const auto lanes = static_cast<size_t>(spec.lanes);
  const auto taus = [&](const formats::BlockFormat& f) {
    return std::vector<std::uint8_t>(
        f.micro.bits > 0 ? lanes / static_cast<size_t>(f.micro.block) : 0, 0);
  };
  return {std::vector<std::uint32_t>(lanes, 0),
          std::vector<std::uint32_t>(lanes, 0),
          127,
          127,
          taus(spec.a),
          taus(spec.b)};
}

/// Frames whose carries are under way in every segment when the result is asked for: a small term
/// of one sign, then of the other, beside terms that make its sign decide a tie, and beats of zeros
/// behind them, none to one more than `segments`, which a carry needs to run through. Scales are
/// e8m0.
Stimulus carries(const DotSpec& spec, int segments) {
  const auto term = [&](int exponent, bool negative) {
    BeatBuffer beat = zeros(spec);
    beat.a[0] = encode(spec.a.element, negative ? -1.0 : 1.0);
    beat.b[0] = encode(spec.b.element, 1.0);
    beat.a_scale = static_cast<std::uint32_t>(127 + exponent / 2);
    beat.b_scale = static_cast<std::uint32_t>(127 + exponent - exponent / 2);
    return beat;
  };
  Stimulus stimulus;
  const auto frame = [&](const std::vector<BeatBuffer>& beats) {
    for (size_t i = 0; i < beats.size(); ++i)
      stimulus.push_back({true, i == 0, i + 1 == beats.size(), beats[i]});
  };
  for (int low : {-240, -60, -26}) {
    for (bool sign : {false, true}) {
      for (int zero_beats :
           {0, 1, 2, 3, 5, 8, segments / 2, segments - 1, segments, segments + 1}) {
        // 0, then a tie between two codes of binary32 on either side of it.
        std::vector<std::vector<BeatBuffer>> bases = {
            {},
            {term(0, sign), term(-24, sign)},
            {term(0, sign), term(-23, sign), term(-24, sign)}};
        for (const std::vector<BeatBuffer>& base : bases) {
          std::vector<BeatBuffer> beats = base;
          beats.push_back(term(low, !sign));
          beats.push_back(term(low, sign));
          if (zero_beats % 3 == 1) beats.push_back(term(low, sign));
          if (zero_beats % 3 == 2) beats.push_back(term(low, !sign));
          for (int i = 0; i < zero_beats; ++i) beats.push_back(zeros(spec));
          frame(beats);
        }
      }
      // Back and forth through zero, and from the top down to the last bit.
      std::vector<BeatBuffer> swing;
      for (int i = 0; i < 100; ++i) swing.push_back(term(low, (i % 2 == 0) == sign));
      swing.push_back(term(low, sign));
      frame(swing);
      frame({term(200, sign), term(low, sign), term(200, !sign)});
      frame(
          {term(200, sign), term(low, !sign), term(100, sign), term(200, !sign), term(100, !sign)});
    }
  }
  return stimulus;
}

class Segmented : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(
    Accumulator, Segmented,
    ::testing::Values("a=mxfp8_e4m3 lanes=2 max-k=4096", "a=mxfp8_e5m2 lanes=3 output=bf16",
                      "a=mxfp4_e2m1 lanes=4 rounding=sr:9", "a=mxint8 lanes=2 rounding=rtz",
                      "a=mx9 lanes=2 max-k=7",
                      "a=mxfp8_e4m3 lanes=2 accumulator=kulisch[40:-70]:wrap",
                      "a=mxint8 lanes=2 accumulator=kulisch[9:-30]:wrap:sticky",
                      "a=mxfp6_e2m3 lanes=1 accumulator=kulisch[3:-2]:wrap:sticky output=e5m2"),
    [](const auto& param) { return fmt::format("Spec{}", param.index); });

TEST_P(Segmented, RegistersHoldTheGoldenSumInTheInterpreter) {
  const DotSpec spec = parse_dot_spec(GetParam());
  std::int64_t checked = 0;
  for (int bits : {2, 5, 16, 61, 1024}) {
    rtl_gen::UnitFacts facts;
    const rtl_gen::Graph graph = build_dot_unit(spec, &facts, segmented(bits));
    Exercise exercise;
    exercise.first = carries(spec, facts.accumulator_width / bits + 1);
    exercise.second = random_stimulus(spec, base_seed() + static_cast<std::uint64_t>(bits), 40);
    const Outcome outcome = check_graph(graph, spec, exercise);
    EXPECT_TRUE(outcome.passed()) << "segments of " << bits << ": " << outcome.mismatch;
    checked += outcome.checked;
  }
  EXPECT_GT(checked, 5 * 200) << "vacuous";
}

// Codes of the accumulator in every place of the output's range, its subnormals and beyond.
TEST(FloatAccumulator, IsRoundedToAnOutputOfFewerOrMoreExponents) {
  std::int64_t checked = 0;
  for (const char* text :
       {"accumulator=fp32 output=bf16", "accumulator=fp32 output=bf16 rounding=sr:5",
        "accumulator=fp32 output=fp16", "accumulator=fp32 output=fp16 rounding=rtz",
        "accumulator=bf16 output=e5m2 rounding=rna", "accumulator=bf16 output=e4m3",
        "accumulator=bf16 output=e8m10", "accumulator=fp16 output=bf16",
        "accumulator=fp16 output=fp32", "accumulator=fp32 output=e7m3 rounding=src:4"}) {
    const DotSpec spec = parse_dot_spec(fmt::format("a=bf16 b=e2m1 lanes=1 {}", text));
    Exercise exercise;
    exercise.first = random_stimulus(spec, base_seed() + 1, 3000);
    const Outcome outcome = check_graph(rtl_gen::build_dot_unit(spec, nullptr), spec, exercise);
    EXPECT_TRUE(outcome.passed()) << text << ": " << outcome.mismatch;
    checked += outcome.checked;
  }
  EXPECT_GT(checked, 10 * 1000) << "vacuous";
}

TEST(SegmentedVerilog, IsInLockstepUnderEverySchedule) {
  struct Case {
    const char* spec;
    rtl_gen::ScheduleKind schedule;
    rtl_gen::Technology technology;
    int bits;
  };
  const Case cases[] = {
      {"a=mxfp8_e4m3 lanes=2", rtl_gen::ScheduleKind::kMinRegister, rtl_gen::Technology::kOsu018,
       16},
      {"a=mxint8 lanes=2 accumulator=kulisch[30:-70]:wrap:sticky", rtl_gen::ScheduleKind::kAsap,
       rtl_gen::Technology::kXilinx, 9},
      {"a=mxfp4_e2m1 lanes=2 rounding=sr:5 max-k=64", rtl_gen::ScheduleKind::kRandom,
       rtl_gen::Technology::kGeneric, 32},
  };
  for (const Case& c : cases) {
    const DotSpec spec = parse_dot_spec(c.spec);
    rtl_gen::Arch arch;
    arch.schedule = c.schedule;
    arch.schedule_seed = 7;
    arch.technology = c.technology;
    arch.structure.segment = c.bits;
    const rtl_gen::Unit unit = generate(rtl_gen::UnitKind::kDot, spec, arch);
    Exercise exercise = make_exercise(spec, base_seed(), 100);
    for (const Cycle& cycle : carries(spec, unit.report.accumulator_width / c.bits + 1))
      exercise.second.push_back(cycle);
    const Outcome outcome = check_verilog(unit.verilog, unit.report, spec, exercise);
    EXPECT_TRUE(outcome.passed()) << c.spec << ": " << outcome.mismatch;
    EXPECT_GT(outcome.checked, 400) << "vacuous";
  }
}

// ---- The full register never overflows ----

/// The values of a format that a product can have: all finite ones, without the code that a
/// symmetric integer leaves unused.
struct Extremes {
  Exact lowest, highest;
  int lsb = 0;  // every value is a multiple of 2^lsb
};

template <typename Decode>
Extremes extremes(int width, const Decode& value_of) {
  Extremes e;
  e.lsb = 10000;
  for (std::uint32_t code = 0; code < 1u << width; ++code) {
    const double value = value_of(code);
    if (!std::isfinite(value) || value == 0) continue;
    const Exact exact(value);
    if (exact < e.lowest) e.lowest = exact;
    if (exact > e.highest) e.highest = exact;
    int exponent = 0;
    double fraction = std::frexp(value, &exponent);
    while (fraction != std::floor(fraction)) {
      fraction *= 2;
      --exponent;
    }
    e.lsb = std::min(e.lsb, exponent);
  }
  return e;
}

Extremes elements(const ElementFormat& f) {
  return extremes(f.width(), [&](std::uint32_t code) {
    const bool unused =
        f.kind == formats::ElementKind::kInteger && f.symmetric && code == 1u << (f.int_bits - 1);
    return unused ? 0.0 : decode(f, code);
  });
}

Extremes product(const Extremes& x, const Extremes& y) {
  return {std::min(x.lowest * y.highest, x.highest * y.lowest),
          std::max(x.highest * y.highest, x.lowest * y.lowest), x.lsb + y.lsb};
}

Extremes scales(const formats::ScaleFormat& f) {
  if (f.kind == formats::ScaleKind::kNone) return {Exact(), Exact(1), 0};
  return extremes(f.width(), [&](std::uint32_t code) { return decode(f, code); });
}

/// Bits of the smallest two's complement field of unit 2^lsb for [low, high].
int bits_for(const Exact& low, const Exact& high, int lsb) {
  int width = 1;
  while (low < -models::ldexp(Exact(1), lsb + width - 1) ||
         high > models::ldexp(Exact(1), lsb + width - 1) - models::ldexp(Exact(1), lsb))
    ++width;
  return width;
}

/// Of one product.
Extremes product_bound(const DotSpec& spec) {
  Extremes all = {Exact(), Exact(1), 0};
  for (const formats::BlockFormat* side : {&spec.a, &spec.b}) {
    all = product(product(all, elements(side->element)),
                  product(scales(side->scale), scales(side->outer.scale)));
    all.lsb -= side->micro.bits > 0 ? (1 << side->micro.bits) - 1 : 0;
  }
  return all;
}

const char* const kFullSpecs[] = {
    "a=mxfp8_e4m3 lanes=32", "a=mxfp8_e5m2 lanes=32",    "a=mxfp6_e3m2 lanes=32",
    "a=mxfp6_e2m3 lanes=5",  "a=mxfp4_e2m1 lanes=32",    "a=mxint8 lanes=32",
    "a=mx9 lanes=16",        "a=bm8 b=bm8_e4m3 lanes=8", "a=int8@e4m3/16 lanes=16",
    "a=e4m3 lanes=4",        "a=bf16 lanes=1",           "a=bf16 b=mxfp4_e2m1 lanes=3",
    "a=int8:full lanes=7",   "a=e2m1@e4m3/16 lanes=16"};
// Scales that are whole numbers, of both signs, or two a side.
const char* const kOtherScales[] = {"a=int8@u6/16*e4m3/32 lanes=16",
                                    "a=int4@u4/16*e4m3/64 b=e2m1@e4m3/16*e5m3/32 lanes=16",
                                    "a=int4:full@dynamic8/16*e4m3/64 b=int8 lanes=5"};

TEST(FullKulisch, IsAsWideAsTheDecodeTablesAskAndNoWider) {
  int checked = 0;
  std::vector<const char*> specs(std::begin(kFullSpecs), std::end(kFullSpecs));
  specs.insert(specs.end(), std::begin(kOtherScales), std::end(kOtherScales));
  for (const char* text : specs) {
    for (std::int64_t max_k : {std::int64_t{1}, std::int64_t{65536}, std::int64_t{1} << 32}) {
      DotSpec spec = parse_dot_spec(text);
      spec.max_k = max_k;
      const Extremes bound = product_bound(spec);
      const Exact terms(Exact::Integer((max_k + spec.lanes - 1) / spec.lanes * spec.lanes), 0);
      rtl_gen::UnitFacts facts;
      build_dot_unit(spec, &facts);
      EXPECT_EQ(facts.accumulator_width,
                bits_for(bound.lowest * terms, bound.highest * terms, bound.lsb))
          << to_text(spec);
      EXPECT_EQ(facts.accumulator_lsb, bound.lsb) << to_text(spec);
      EXPECT_EQ(facts.accumulator_width, exact_window(spec).width()) << to_text(spec);
      EXPECT_EQ(facts.accumulator_lsb, exact_window(spec).lsb) << to_text(spec);
      ++checked;
    }
  }
  EXPECT_GT(checked, 0) << "vacuous";
}

std::vector<std::uint64_t> limbs_of(const Int& value, int width) {
  return rtl_gen::to_bits(value, width).limbs;
}

/// `exact` in units of 2^lsb.
Int units(const Exact& exact, int lsb) {
  const Exact scaled = ldexp(exact, -lsb);
  BLOCKDOT_CHECK(floor_to_multiple(scaled, 0) == scaled, "no multiple");
  const Exact::Integer& significand = scaled.significand();
  return scaled.exponent() >= 0 ? Int(significand << static_cast<unsigned>(scaled.exponent()))
                                : Int(significand >> static_cast<unsigned>(-scaled.exponent()));
}

TEST(FullKulisch, HoldsTheLastOfTheLargestProducts) {
  // The loop is cut open: its register starts at the sum of all beats but the last, which no
  // simulation would reach, and the last beat must give the exact sum of max-k products.
  int checked = 0;
  for (const char* text : kFullSpecs) {
    DotSpec spec = parse_dot_spec(text);
    spec.max_k = (std::int64_t{1} << 32) / spec.lanes * spec.lanes;
    rtl_gen::UnitFacts facts;
    const rtl_gen::OpenedUnit opened = open_loop(build_dot_unit(spec, &facts));
    const Extremes bound = product_bound(spec);
    for (bool negative : {false, true}) {
      // The codes of the extreme product, found by trying the extreme elements.
      const Extremes a = elements(spec.a.element), b = elements(spec.b.element);
      const Exact extreme = negative ? bound.lowest : bound.highest;
      const Exact factor = scales(spec.a.scale).highest * scales(spec.b.scale).highest;
      std::uint32_t codes[2] = {};
      for (const Exact& x : {a.lowest, a.highest})
        for (const Exact& y : {b.lowest, b.highest})
          if (x * y * factor == extreme) {
            const auto code = [](const ElementFormat& f, const Exact& value) {
              std::uint32_t at = 0;
              while (!std::isfinite(decode(f, at)) || Exact(decode(f, at)) != value) ++at;
              return at;
            };
            codes[0] = code(spec.a.element, x);
            codes[1] = code(spec.b.element, y);
          }
      std::map<std::string, std::vector<std::uint64_t>> inputs;
      const auto side = [&](const formats::BlockFormat& f, const char* name, std::uint32_t code) {
        const int width = f.element.width();
        Int all = 0;
        for (int j = 0; j < spec.lanes; ++j) all |= Int(code) << (j * width);
        inputs[fmt::format("{}_i", name)] = limbs_of(all, spec.lanes * width);
        if (f.scale.width() == 0) return;
        std::uint32_t scale = 0;
        for (std::uint32_t at = 0; at < 1u << f.scale.width(); ++at)
          if (const double v = decode(f.scale, at); std::isfinite(v) && v > decode(f.scale, scale))
            scale = at;
        inputs[fmt::format("{}_scale_i", name)] = {scale};
        if (f.micro.bits > 0)
          inputs[fmt::format("{}_micro_i", name)] =
              limbs_of(0, spec.lanes / f.micro.block * f.micro.bits);
      };
      side(spec.a, "a", codes[0]);
      side(spec.b, "b", codes[1]);
      inputs["valid_i"] = {1};
      inputs["first_i"] = {0};
      rtl_gen::UnitInterpreter term(opened.term), step(opened.step);
      std::erase_if(inputs, [&](const auto& port) { return !term.has_input(port.first); });

      const Exact beat = extreme * Exact(spec.lanes);
      const Exact beats(Exact::Integer(spec.max_k / spec.lanes), 0);
      std::map<std::string, std::vector<std::uint64_t>> crossing;
      for (const auto& [name, value] : term.step(inputs))
        crossing[name.substr(0, name.size() - 2) + "_i"] = value;
      crossing["acc_i"] =
          limbs_of(units(beat * beats - beat, facts.accumulator_lsb), facts.accumulator_width);
      const auto next = step.step(crossing).at("acc_o");
      const Int got = rtl_gen::to_signed_int({facts.accumulator_width, next});
      EXPECT_EQ(got, units(beat * beats, facts.accumulator_lsb)) << to_text(spec) << negative;
      ++checked;
    }
  }
  EXPECT_EQ(checked, 28);
}

TEST(FullKulisch, GivesTheGoldenResultAfterMaxKOfTheLargestProducts) {
  for (const char* text : {"a=mxfp8_e4m3 lanes=8 max-k=1024", "a=mxint8 lanes=16 max-k=4096",
                           "a=bf16 lanes=1 max-k=256 output=e8m20"}) {
    const DotSpec spec = parse_dot_spec(text);
    const auto beat = [&](double sign) {
      BeatBuffer data = zeros(spec);
      for (std::uint32_t& code : data.a) code = encode(spec.a.element, sign * 1e300);
      for (std::uint32_t& code : data.b) code = encode(spec.b.element, 1e300);
      if (spec.a.has_scale()) data.a_scale = data.b_scale = 254;
      return data;
    };
    const auto frame = [&](auto sign_of) {
      Stimulus stimulus;
      const int beats = static_cast<int>(spec.max_k / spec.lanes);
      for (int i = 0; i < beats; ++i)
        stimulus.push_back({true, i == 0, i + 1 == beats, beat(sign_of(i, beats))});
      return stimulus;
    };
    Exercise exercise;
    exercise.first = frame([](int, int) { return 1.0; });
    for (const Cycle& cycle : frame([](int, int) { return -1.0; })) exercise.first.push_back(cycle);
    // Up to half and back, to exactly zero.
    exercise.second = frame([](int i, int n) { return i < n / 2 ? 1.0 : -1.0; });
    for (int bits : {rtl_gen::kOneWord, 16}) {
      const Outcome outcome =
          check_graph(build_dot_unit(spec, nullptr, segmented(bits)), spec, exercise);
      EXPECT_TRUE(outcome.passed()) << outcome.mismatch;
      EXPECT_EQ(outcome.checked, 3);
    }
  }
}

}  // namespace
}  // namespace blockdot::testbench
