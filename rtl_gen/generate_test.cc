// Whole units: widths, ports, determinism, errors, the report, and the time it takes.
#include "rtl_gen/generate.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "formats/error.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/design.h"

namespace blockdot::rtl_gen {
namespace {

using formats::parse_dot_spec;

Unit make(UnitKind kind, const std::string& spec, const Arch& arch = {}) {
  return generate(kind, parse_dot_spec(spec), arch);
}

const Port* find(const UnitReport& r, std::string_view name) {
  for (const Port& p : r.ports)
    if (p.name == name) return &p;
  return nullptr;
}

int width_of(const std::string& spec) {
  const Unit unit = make(UnitKind::kBlockDot, spec, {.combinational = true});
  const Port* p = find(unit.report, "sum_o");
  return p ? p->width : -1;
}

// Oracle: W = bitlen(N * Pmax / lsb) + 1 by hand, e.g. E4M3: 448 * 448 * 32 / 2^-18 < 2^41.
TEST(BlockDot, SumHasTheNarrowestWidthForItsRange) {
  EXPECT_EQ(width_of("a=mxfp8_e4m3"), 42);
  EXPECT_EQ(width_of("a=mxfp8_e5m2"), 70);
  EXPECT_EQ(width_of("a=mxfp8_e4m3 b=mxfp8_e5m2"), 56);
  EXPECT_EQ(width_of("a=mxfp6_e3m2"), 24);
  EXPECT_EQ(width_of("a=mxfp6_e2m3"), 18);
  EXPECT_EQ(width_of("a=mxfp4_e2m1"), 14);
  EXPECT_EQ(width_of("a=mxint8"), 20);
  EXPECT_EQ(width_of("a=mx9"), 21);
  EXPECT_EQ(width_of("a=mx6"), 15);
  EXPECT_EQ(width_of("a=mx4"), 11);
  EXPECT_EQ(width_of("a=e2m5:bias=2@e8m0/32 b=e4m3:finite:bias=8@e8m0/32"), 32);
}

TEST(BlockDot, HasTheStatedPortsAndNoClockWhenCombinational) {
  const Unit fp8 = make(UnitKind::kBlockDot, "a=mxfp8_e4m3", {.combinational = true});
  EXPECT_EQ(fp8.report.latency, 0);
  EXPECT_EQ(find(fp8.report, "clk_i"), nullptr);
  EXPECT_EQ(find(fp8.report, "a_i")->width, 256);
  EXPECT_EQ(find(fp8.report, "a_scale_i")->width, 8);
  EXPECT_EQ(find(fp8.report, "scale_o")->width, 9);
  EXPECT_EQ(find(fp8.report, "nan_o")->width, 1);
  const Unit plain = make(UnitKind::kBlockDot, "a=int8 lanes=4", {.combinational = true});
  EXPECT_EQ(find(plain.report, "scale_o"), nullptr);
  EXPECT_EQ(find(plain.report, "nan_o"), nullptr);
  const Unit finite = make(UnitKind::kBlockDot, "a=mxfp4_e2m1", {.combinational = true});
  EXPECT_EQ(find(finite.report, "scale_o")->width, 9);
  EXPECT_EQ(find(finite.report, "nan_o"), nullptr) << "only where elements can be NaN or Inf";
  const Unit piped = make(UnitKind::kBlockDot, "a=mxfp8_e4m3", {});
  EXPECT_NE(find(piped.report, "clk_i"), nullptr);
  EXPECT_NE(find(piped.report, "valid_o"), nullptr);
  EXPECT_GE(piped.report.latency, 1);
}

// Oracle: the decoded values in double, exact for these widths.
TEST(BlockDot, SumIsTheSumOfDecodedProducts) {
  std::mt19937_64 random(7);
  int checked = 0;
  for (const char* text :
       {"a=mxfp8_e4m3 lanes=5", "a=mxfp4_e2m1 lanes=32", "a=mxint8 lanes=9",
        "a=mxint8 b=mxfp6_e3m2 lanes=4", "a=mx9 lanes=6", "a=mx4 b=mxint8 lanes=4",
        "a=int4:full b=int8 lanes=3", "a=bm8 lanes=7", "a=e4m3:fnuz lanes=4"}) {
    const formats::DotSpec spec = parse_dot_spec(text);
    const Unit unit = generate(UnitKind::kBlockDot, spec, {.combinational = true});
    UnitInterpreter whole(unit.graph), lowered(unit.lowered);
    for (int v = 0; v < 500; ++v) {
      double want = 0;
      std::vector<double> x[2];
      std::map<std::string, std::vector<std::uint64_t>> in;
      for (int side = 0; side < 2; ++side) {
        const formats::BlockFormat& f = side == 0 ? spec.a : spec.b;
        const std::string name = side == 0 ? "a" : "b";
        const int w = f.element.width();
        Int packed = 0, micro = 0;
        for (int j = 0; j < spec.lanes; ++j) {
          std::uint32_t code;
          do {
            code = static_cast<std::uint32_t>(random()) & ((1u << w) - 1);
          } while (!std::isfinite(formats::decode(f.element, code)) ||
                   (f.element.symmetric && f.element.kind == formats::ElementKind::kInteger &&
                    code == 1u << (w - 1)));
          packed |= Int(code) << static_cast<unsigned>(j * w);
          double value = formats::decode(f.element, code);
          if (f.micro.bits > 0) {
            if (j % f.micro.block == 0)
              micro |= Int(random() & ((1u << f.micro.bits) - 1))
                       << static_cast<unsigned>(j / f.micro.block * f.micro.bits);
            const auto tau = static_cast<int>(
                (micro >> static_cast<unsigned>(j / f.micro.block * f.micro.bits)) &
                ((1 << f.micro.bits) - 1));
            value = std::ldexp(value, -tau);
          }
          x[side].push_back(value);
        }
        in[name + "_i"] = to_bits(packed, w * spec.lanes).limbs;
        if (f.micro.bits > 0)
          in[name + "_micro_i"] = to_bits(micro, spec.lanes / f.micro.block * f.micro.bits).limbs;
        if (f.scale.width() > 0) in[name + "_scale_i"] = {random() % 255};
      }
      for (std::size_t j = 0; j < x[0].size(); ++j) want += x[0][j] * x[1][j];
      for (UnitInterpreter* interpreter : {&whole, &lowered}) {
        interpreter->step(in);
        const Int sum = to_signed_int(interpreter->output_bits(interpreter->output_index("sum_o")));
        ASSERT_EQ(std::ldexp(static_cast<double>(sum), unit.report.sum_lsb), want) << text;
        if (interpreter->has_output("nan_o")) {
          ASSERT_EQ(interpreter->output(interpreter->output_index("nan_o"))[0], 0u);
        }
      }
      ++checked;
    }
  }
  EXPECT_EQ(checked, 9 * 500);
}

TEST(Generate, SameSpecSameBytes) {
  const std::string spec = "a=mxfp8_e4m3 accumulator=fp32 rounding=sr:16";
  const Unit one = make(UnitKind::kDot, spec), two = make(UnitKind::kDot, spec);
  EXPECT_EQ(one.verilog, two.verilog);
  EXPECT_EQ(to_json(one.report).dump(), to_json(two.report).dump());
}

TEST(Generate, ADifferentScheduleNeverChangesTheGraph) {
  const std::string spec = "a=mxfp4_e2m1 rounding=sr:8";
  const Unit one = make(UnitKind::kDot, spec);
  const Unit two =
      make(UnitKind::kDot, spec, {.schedule = ScheduleKind::kRandom, .schedule_seed = 9});
  EXPECT_EQ(one.graph.dump(), two.graph.dump());
  EXPECT_NE(one.verilog, two.verilog);
}

TEST(Structure, TextFormsAreReadBackAndWrongOnesAreRefusedByName) {
  Structure s;
  s.multiplier = Multiplier::kBooth;
  s.adder = Adder::kKoggeStone;
  EXPECT_EQ(parse_structure(to_text(s)), s);
  EXPECT_EQ(parse_structure("adder=kogge-stone,multiplier=booth"), s);
  EXPECT_EQ(parse_structure(""), Structure{});
  s.rounding = SrPlace::kEager;
  s.goal = Goal::kDelay;
  EXPECT_EQ(parse_structure(to_text(s)), s);
  const auto refused = [](const char* text, const char* says) {
    try {
      parse_structure(text);
      ADD_FAILURE() << text;
    } catch (const ConfigError& e) {
      EXPECT_NE(std::string(e.what()).find(says), std::string::npos) << e.what();
    }
  };
  refused("multiplyer=booth", "did you mean multiplier?");
  refused("multiplier=boot", "did you mean booth");
  refused("multiplier", "FIELD=CHOICE");
  refused("sum=tree,sum=tree", "twice");
  refused("accumulator=segmented:1", "in [2, 1024]");
  refused("accumulator=segment:16", "did you mean segmented:16");
  for (const char* text : {"accumulator=segmented:24", "accumulator=word"})
    EXPECT_TRUE(to_text(parse_structure(text)).ends_with(text));
}

TEST(Accumulator, IsKeptInSegmentsOnlyWhereTheClockAsksForThem) {
  const std::string spec = "a=mxfp8_e4m3 lanes=4";
  const auto segment = [&](double clock) {
    Structure structure = plain_structure(Technology::kOsu018);
    return choose_segment(formats::parse_dot_spec(spec), Technology::kOsu018, structure, clock);
  };
  EXPECT_EQ(segment(0).segment, kAutoSegment);
  EXPECT_EQ(segment(30).segment, kAutoSegment);
  const SegmentChoice slow = segment(8), fast = segment(6);
  EXPECT_GT(slow.segment, fast.segment) << "the widest that will do";
  EXPECT_GT(fast.segment, 0);
  EXPECT_LE(fast.clock_ns, 6);
  EXPECT_GT(segment(30).clock_ns, 12) << "as one word";

  const Unit word = make(UnitKind::kDot, spec, {.technology = Technology::kOsu018});
  const Unit segments =
      make(UnitKind::kDot, spec, {.clock_ns = 6, .technology = Technology::kOsu018});
  EXPECT_GT(word.report.clock_ns, 12);
  EXPECT_LE(segments.report.critical_path_ns.value, 6);
  EXPECT_EQ(segments.report.interval, 1);
  EXPECT_NE(segments.report.arch_text.find("accumulator=segmented:"), std::string::npos);
}

// The sum of two products is compressed and added as the structure says, in as many stages as that
// of three.
TEST(Structure, ASumOfTwoIsBuiltAsOneOfMore) {
  Arch arch{.clock_ns = 1.3, .technology = Technology::kOsu018};
  for (const char* spec : {"a=mxfp8_e5m2 lanes=2", "a=mxfp8_e5m2 lanes=3"})
    EXPECT_NO_THROW(make(UnitKind::kBlockDot, spec, arch)) << spec;
  const auto with = [&](Adder adder) {
    arch.structure.adder = adder;
    return make(UnitKind::kBlockDot, "a=mxfp8_e5m2 lanes=2", arch).verilog;
  };
  arch.clock_ns = 5;
  EXPECT_NE(with(Adder::kRipple), with(Adder::kKoggeStone));
}

TEST(Accumulator, AClockBeyondItsLoopIsRefusedWithWhatFits) {
  const auto refusal = [](const std::string& spec, const Arch& arch) {
    try {
      make(UnitKind::kDot, spec, arch);
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  for (const char* spec : {"a=mxfp8_e4m3 lanes=2 accumulator=fp32",
                           "a=mxfp8_e4m3 lanes=2 accumulator=aligned[13]:fp32",
                           "a=mxint8 lanes=2 accumulator=kulisch[120:-100]"}) {
    Arch arch{.clock_ns = 5, .technology = Technology::kOsu018};
    const std::string text = refusal(spec, arch);
    EXPECT_EQ(text.find('\n'), std::string::npos);
    EXPECT_NE(text.find("accumulator kulisch fits this one with --arch accumulator=segmented:"),
              std::string::npos)
        << text;
    // The clock that it names is accepted, and a hundredth less is not.
    const std::size_t at = text.find("a clock of ");
    ASSERT_NE(at, std::string::npos) << text;
    const double fits = std::stod(text.substr(at + 11));
    arch.clock_ns = fits;
    EXPECT_EQ(refusal(spec, arch), "accepted");
    arch.clock_ns = fits - 0.02;
    EXPECT_NE(refusal(spec, arch), "accepted");
  }
  // What it offers at any clock is accepted, and is not what was refused.
  const std::string offer = "accumulator kulisch fits this one with --arch accumulator=segmented:";
  int offers = 0;
  for (const char* spec :
       {"a=mxfp8_e4m3 lanes=4 accumulator=aligned[13]:fp32", "a=mxfp8_e4m3 lanes=2"})
    for (double clock : {1.9, 2.0, 2.1, 2.3, 3.6}) {
      Arch arch{.clock_ns = clock, .technology = Technology::kOsu018};
      if (spec == std::string("a=mxfp8_e4m3 lanes=2")) arch.structure.segment = 24;
      const std::string text = refusal(spec, arch);
      const std::size_t at = text.find(offer);
      if (at == std::string::npos) continue;
      arch.structure.segment = std::stoi(text.substr(at + offer.size()));
      EXPECT_EQ(refusal("a=mxfp8_e4m3 lanes=4", arch), "accepted") << text;
      ++offers;
    }
  EXPECT_GE(offers, 3);
  // The reason stays where the structure by hand is none of a Kulisch accumulator.
  Arch eager{.clock_ns = 3, .technology = Technology::kOsu018};
  eager.structure.rounding = SrPlace::kEager;
  const std::string reason = refusal("a=mxfp8_e4m3 lanes=4 accumulator=fp32:sr:8", eager);
  EXPECT_NE(reason.find("a clock of "), std::string::npos) << reason;
  // Segments have a floor too.
  const std::string floor =
      refusal("a=mxfp8_e4m3 lanes=2", {.clock_ns = 1, .technology = Technology::kOsu018});
  EXPECT_NE(floor.find("fits"), std::string::npos) << floor;
  EXPECT_EQ(floor.find("accumulator kulisch"), std::string::npos) << floor;

  Arch arch;
  arch.structure.segment = 16;
  EXPECT_NE(
      refusal("a=mxint8 accumulator=fp32", arch).find("kulisch and kulisch[MSB:LSB]:wrap have"),
      std::string::npos);
  EXPECT_NE(refusal("a=mxint8 accumulator=kulisch[9:-9]", arch).find("has no segments"),
            std::string::npos);
}

TEST(Structure, ContradictionsAreOneLineErrors) {
  const auto refused = [](const char* spec, Technology technology, const char* structure) {
    Arch arch;
    arch.technology = technology;
    arch.structure = parse_structure(structure);
    EXPECT_THROW(make(UnitKind::kBlockDot, spec, arch), ConfigError) << structure;
  };
  refused("a=mxfp8_e4m3", Technology::kOsu018, "multiplier=booth");
  refused("a=mxfp8_e4m3", Technology::kXilinx, "signs=relative,sum=tree");
  refused("a=mxfp8_e4m3", Technology::kXilinx, "cells=library");
  refused("a=mxint8", Technology::kXilinx, "multiplier=array,sum=chain");
  refused("a=mxfp8_e4m3", Technology::kOsu018, "align=split,signs=before");
  refused("a=mxfp8_e4m3", Technology::kOsu018, "align=bucket,signs=negate");
  refused("a=mxfp8_e4m3", Technology::kOsu018, "multiplier=table");
  refused("a=mxfp4_e2m1", Technology::kOsu018, "multiplier=table,align=split");
  refused("a=mxfp8_e4m3", Technology::kOsu018, "align=bucket,signs=after");
  refused("a=mxfp8_e4m3", Technology::kOsu018, "counters=6:3,sum=compress");
  refused("a=mxfp8_e4m3", Technology::kGeneric, "cells=full");
}

TEST(Structure, EveryFieldOfAChoiceIsExplained) {
  const Structure chosen =
      choose(parse_dot_spec("a=mxfp8_e4m3 lanes=8"), Technology::kOsu018, {}).structure;
  const std::vector<std::string> lines = describe(chosen);
  EXPECT_EQ(lines.size(), 7u);
  std::string text = to_text(chosen) + ",";
  for (const std::string& line : lines) {
    EXPECT_GT(line.size(), line.find(": ") + 2) << line;
    const std::size_t end = line.find(": ");
    EXPECT_NE(text.find(line.substr(0, end) + ","), std::string::npos) << line << " in " << text;
  }
}

TEST(Structure, IsChosenForWhatIsWished) {
  const formats::DotSpec spec = parse_dot_spec("a=mxfp8_e4m3 lanes=32");
  const auto best = [&](Goal goal) {
    Structure wanted;
    wanted.goal = goal;
    const Choice choice = choose(spec, Technology::kOsu018, wanted);
    EXPECT_EQ(choice.structure.goal, Goal::kAuto) << "a wish is no part of what was chosen";
    return choice.candidates.front();
  };
  const Candidate area = best(Goal::kArea), balanced = best(Goal::kBalanced),
                  delay = best(Goal::kDelay);
  EXPECT_LT(area.area, delay.area);
  EXPECT_GT(area.delay_ns, delay.delay_ns);
  EXPECT_LE(area.area, balanced.area);
  EXPECT_LE(balanced.area, delay.area);
  EXPECT_LE(delay.delay_ns, balanced.delay_ns);
  EXPECT_EQ(best(Goal::kAuto).structure, balanced.structure);
}

formats::MultiSpec modes_spec(const char* modes, const char* addend, const char* accumulator = "") {
  formats::DotSpecText text;
  text.lanes = "8";
  text.accumulator = accumulator;
  return formats::resolve_multi(modes, addend, text);
}

TEST(Structure, OfSeveralFormatsIsChosenForWhatIsWished) {
  for (const char* addend : {"", "fp32"}) {
    const formats::MultiSpec spec = modes_spec("e4m3,e5m2,e2m1", addend);
    for (Technology technology : {Technology::kOsu018, Technology::kXilinx}) {
      const auto best = [&](Goal goal) {
        Structure wanted;
        wanted.goal = goal;
        const Choice choice = choose(spec, technology, wanted);
        EXPECT_EQ(choice.structure.goal, Goal::kAuto);
        EXPECT_EQ(choice.structure, choice.candidates.front().structure);
        EXPECT_GE(choice.candidates.size(), 2u);
        return choice.candidates.front();
      };
      const Candidate area = best(Goal::kArea), balanced = best(Goal::kBalanced),
                      delay = best(Goal::kDelay);
      EXPECT_LE(area.area, balanced.area);
      EXPECT_LE(balanced.area, delay.area);
      // On osu018 trees that ABC flattens, fast only by the estimate, are tried for area alone.
      EXPECT_LE(delay.delay_ns, balanced.delay_ns);
      EXPECT_EQ(best(Goal::kAuto).structure, balanced.structure);
    }
    EXPECT_NE(choose(spec, Technology::kOsu018, parse_structure("optimize=area")).structure,
              choose(spec, Technology::kOsu018, parse_structure("optimize=delay")).structure);
  }
}

TEST(Structure, OfSeveralFormatsKeepsWhatWasGivenAndIsWhatTheUnitIsBuiltIn) {
  const formats::MultiSpec spec = modes_spec("e4m3,e5m2", "fp32");
  Arch arch;
  arch.combinational = true;
  arch.technology = Technology::kOsu018;
  for (const char* wanted : {"", "align=shift", "adder=kogge-stone,cells=none", "counters=6:3"}) {
    arch.structure = parse_structure(wanted);
    const Choice choice = choose(spec, arch.technology, arch.structure);
    const std::string text = to_text(choice.structure) + ",";
    EXPECT_NE(generate(spec, arch).report.arch_text.find(to_text(choice.structure)),
              std::string::npos);
    const std::string given = given_text(arch.structure);
    for (std::size_t at = 0, end = 0; at < given.size(); at = end + 1) {
      end = std::min(given.find(',', at), given.size());
      EXPECT_NE(text.find(given.substr(at, end - at) + ","), std::string::npos) << text;
    }
  }
  EXPECT_EQ(choose(spec, Technology::kGeneric, {}).structure, kPlain);
}

// Oracle: Yosys 0.23, ABC and OpenSTA measure 16.72 ns of sum=timed, 8.51 of sum=compress.
TEST(Structure, OfTwoLanesOfSeveralFormatsIsNoRipple) {
  formats::DotSpecText text;
  text.lanes = "2";
  const formats::MultiSpec spec = formats::resolve_multi("e2m3,e5m2,e4m3,e3m2", "", text);
  EXPECT_EQ(choose(spec, Technology::kOsu018, {}).structure.sum, Summation::kCompress);
}

TEST(Structure, OfSeveralFormatsWeighsTheRoundingOfAnAccumulator) {
  const formats::MultiSpec spec = modes_spec("e4m3,e2m1", "", "bf16:sr:8");
  EXPECT_EQ(choose(spec, Technology::kOsu018, {}).roundings.size(), 2u);
  EXPECT_EQ(choose(spec, Technology::kOsu018, parse_structure("rounding=eager")).structure.rounding,
            SrPlace::kEager);
  EXPECT_TRUE(choose(modes_spec("e4m3", "", "bf16"), Technology::kOsu018, {}).roundings.empty());
}

TEST(Structure, OfSeveralFormatsIsRefusedByTheNameOfItsField) {
  const auto refused = [](const char* structure, Technology technology = Technology::kOsu018) {
    try {
      choose(modes_spec("e4m3", ""), technology, parse_structure(structure));
      return std::string("accepted");
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(refused("adder=plus,align=bucket"),
            "arch align=bucket: a unit of several formats takes align=shift or split");
  EXPECT_EQ(refused("multiplier=booth"),
            "arch multiplier=booth: a unit of several formats takes multiplier=word or array");
  EXPECT_EQ(refused("signs=negate"),
            "arch signs=negate: a unit of several formats takes signs=after");
  EXPECT_EQ(refused("counters=6:3,sum=compress"),
            "arch counters=6:3: a unit of several formats takes 6:3 with sum=timed, tree or chain, "
            "not with sum=compress");
  EXPECT_EQ(refused("cells=full", Technology::kXilinx),
            "arch cells=full: a unit of several formats takes cells=full or library with "
            "technology osu018 alone");
  EXPECT_NE(refused("accumulator=segmented:8").find("needs unit multi with an accumulator"),
            std::string::npos);
  EXPECT_NE(refused("rounding=eager").find("needs unit multi with a float accumulator"),
            std::string::npos);
}

// Millions of nodes a candidate otherwise: of bf16 the shifted significands have 261 bits each.
TEST(Structure, ShiftedSignificandsAreMultipliedOnlyWhereTheyAreShortOrAskedFor) {
  const auto tried = [](const char* spec, const char* wanted) {
    int before = 0, others = 0;
    for (const Candidate& c :
         candidates(parse_dot_spec(spec), Technology::kOsu018, parse_structure(wanted), 1))
      ++(c.structure.align == Align::kBefore ? before : others);
    return std::pair{before > 0, others > 0};
  };
  EXPECT_EQ(tried("a=bf16 lanes=1", ""), (std::pair{false, true}));
  EXPECT_EQ(tried("a=bf16 b=mxfp8_e5m2 lanes=1", ""), (std::pair{false, true}));
  EXPECT_EQ(tried("a=mxfp8_e4m3 lanes=1", ""), (std::pair{true, true}));
  EXPECT_EQ(tried("a=mxfp8_e5m2 lanes=1", "align=before"), (std::pair{true, false}));
}

// Oracle: Yosys 0.23 and, for osu018, ABC and OpenSTA, as docs/estimates.md lists them.
TEST(Estimates, LieWithinThirtyPercentOfSynthesis) {
  const auto near = [](double estimate, double measured, const std::string& what) {
    EXPECT_NEAR(estimate / measured, 1, 0.3) << what;
  };
  struct Measured {
    UnitKind kind;
    const char* spec;
    bool combinational;
    double area, ns;
  };
  for (const Measured& m :
       {Measured{UnitKind::kBlockDot, "a=mxfp8_e4m3 lanes=8", true, 96442, 6.75},
        {UnitKind::kBlockDot, "a=mxfp8_e5m2 lanes=4", true, 66389, 6.33},
        {UnitKind::kBlockDot, "a=mxfp6_e3m2 lanes=8", true, 50919, 5.01},
        {UnitKind::kDot, "a=mxfp8_e4m3 lanes=4 accumulator=fp32", false, 150368, 15.07},
        {UnitKind::kDot,
         "a=e5m2 lanes=3 accumulator=kulisch[24:-24]:saturate output=fp16 rounding=rtz max-k=4096",
         false, 99238, 10.11}}) {
    Arch arch;
    arch.technology = Technology::kOsu018;
    arch.combinational = m.combinational;
    const Unit unit = make(m.kind, m.spec, arch);
    near(unit.report.area.value, m.area, m.spec);
    near(unit.report.critical_path_ns.value, m.ns, m.spec);
  }
  Arch combinational;
  combinational.technology = Technology::kOsu018;
  combinational.combinational = true;
  for (const auto& [modes, addend, area, ns] :
       {std::tuple{"e4m3,e5m2", "fp32", 240504, 16.07}, {"e4m3,e5m2,e2m1", "", 204381, 8.50}}) {
    const Unit unit = generate(modes_spec(modes, addend), combinational);
    near(unit.report.area.value, area, modes);
    near(unit.report.critical_path_ns.value, ns, modes);
  }
  // ABC flattens a prefix tree, the more the wider it is, and leaves one of full adders.
  for (const auto& [spec, adder, ns] : {std::tuple{"a=mxfp8_e5m2 lanes=8", "kogge-stone", 7.82},
                                        {"a=mxfp8_e5m2 lanes=8", "sparse", 6.77},
                                        {"a=mxfp8_e4m3 lanes=8", "kogge-stone", 6.26},
                                        {"a=mxfp8_e4m3 lanes=8", "sparse", 6.11},
                                        {"a=mxfp4_e2m1 lanes=32", "kogge-stone", 4.17},
                                        {"a=mxfp4_e2m1 lanes=32", "sparse", 4.50}}) {
    combinational.structure =
        parse_structure(std::string("signs=negate,align=shift,adder=") + adder);
    const Unit unit = make(UnitKind::kBlockDot, spec, combinational);
    EXPECT_NEAR(unit.report.critical_path_ns.value / ns, 1, 0.1) << spec << " " << adder;
  }
  for (const auto& [spec, luts] : {std::pair{"a=mxfp8_e5m2 lanes=8", 1299.0},
                                   {"a=mxfp6_e2m3 lanes=8", 437.0},
                                   {"a=mxfp4_e2m1 lanes=8", 153.0}}) {
    Arch arch;
    arch.technology = Technology::kXilinx;
    arch.combinational = true;
    near(make(UnitKind::kBlockDot, spec, arch).report.area.value, luts, spec);
  }
  // Registers that wait for the rest of their block keep their values by clock enables.
  for (const auto& [format, luts] : {std::pair{"mxfp8_e4m3", 877.0}, {"mxint8", 783.0}}) {
    DesignText text;
    text.unit = "quantizer";
    text.dot.a = format;
    text.dot.lanes = "4";
    text.input = "bf16";
    Arch arch;
    arch.technology = Technology::kXilinx;
    near(generate_design(resolve(text), arch).report.area.value, luts, format);
  }
}

TEST(Structure, TheHeaderRepeatsTheChoiceSoThatItGivesTheSameBytes) {
  Arch arch;
  arch.technology = Technology::kOsu018;
  arch.combinational = true;
  const Unit one = make(UnitKind::kBlockDot, "a=mxint8 lanes=4", arch);
  const std::string option = "--arch ";
  const std::size_t at = one.verilog.find(option) + option.size();
  arch.structure = parse_structure(one.verilog.substr(at, one.verilog.find('\n', at) - at));
  EXPECT_EQ(make(UnitKind::kBlockDot, "a=mxint8 lanes=4", arch).verilog, one.verilog);
}

TEST(Generate, ClockThatCannotBeMetIsAnError) {
  EXPECT_THROW(make(UnitKind::kDot, "a=mxfp8_e4m3 accumulator=fp32", {.clock_ns = 0.2}),
               ConfigError);
  EXPECT_THROW(make(UnitKind::kDot, "a=mxfp8_e4m3", {.clock_ns = -1}), ConfigError);
}

TEST(Generate, TakesEveryFormatOfTheCatalogueAsAnOperand) {
  for (const formats::CatalogueEntry& entry : formats::catalogue())
    for (UnitKind kind : {UnitKind::kDot, UnitKind::kBlockDot})
      EXPECT_NO_THROW(make(kind, fmt::format("a={} lanes=2", entry.name))) << entry.name;
}

TEST(Generate, ABareBlockDotHasPortsForTheFactorOfTheBeatAlone) {
  const auto names = [](const std::string& spec) {
    std::string text;
    for (const Port& port : make(UnitKind::kBlockDot, spec, {.combinational = true}).report.ports)
      text += port.name + " ";
    return text;
  };
  EXPECT_EQ(names("a=mxint8 lanes=2"), "a_i a_scale_i b_i b_scale_i sum_o scale_o ");
  EXPECT_EQ(names("a=e4m3@fp32/32 b=e4m3 lanes=2"),
            "a_i a_scale_i b_i sum_o scale_sig_o scale_o nan_o ");
  EXPECT_EQ(names("a=int8_row lanes=2"), "a_i b_i sum_o ");
  EXPECT_EQ(names("a=vsq4 lanes=2"), "a_i a_scale_i b_i b_scale_i sum_o scale_sig_o ");
  EXPECT_EQ(names("a=binary lanes=2"), "a_i b_i count_i sum_o ");
}

std::string error_of(UnitKind kind, const std::string& spec, const Arch& arch,
                     std::string_view top = "unit") {
  try {
    generate(kind, parse_dot_spec(spec), arch, top);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

// Oracle: the rule for identifiers and the keywords of IEEE 1364-2005, annex B, by hand.
TEST(Generate, TopMustBeAPlainIdentifier) {
  const auto error = [](std::string_view top) {
    return error_of(UnitKind::kBlockDot, "a=int8 lanes=2", {.combinational = true}, top);
  };
  for (const char* top : {"unit", "_x9", "Dot_32", "Module"}) EXPECT_EQ(error(top), "no error");
  EXPECT_EQ(error(std::string(64, 'x')), "no error");
  for (const char* top : {"9x", "a-b", "a b", "a;endmodule", "a$", "\\a ", "module", "reg", "logic",
                          "unit_tb", "FAX1", "HAX1", "\xc3\xa4"})
    EXPECT_TRUE(error(top).starts_with("top = ")) << top << ": " << error(top);
  EXPECT_TRUE(error("").starts_with("top = (nothing): must be"));
  EXPECT_TRUE(error("9x").starts_with("top = 9x: must be a Verilog identifier"));
  EXPECT_TRUE(error(std::string(65, 'x')).starts_with("top = xxx"));
}

TEST(Generate, ACombinationalUnitHasNoClock) {
  EXPECT_EQ(error_of(UnitKind::kDot, "a=mxint8", {.clock_ns = 5, .combinational = true}),
            "clock-ns = 5: a combinational unit has no clock; give one of the two");
}

TEST(Generate, TheClockIsAtMostAThousandNs) {
  EXPECT_EQ(error_of(UnitKind::kDot, "a=int8 lanes=2", {.clock_ns = 1000}), "no error");
  for (double clock : {1000.5, -1.0, std::nan("")})
    EXPECT_NE(error_of(UnitKind::kDot, "a=int8 lanes=2", {.clock_ns = clock})
                  .find("must be in (0, 1000], or 0 for the default"),
              std::string::npos)
        << clock;
}

TEST(BlockDot, SaysOnlyWhatItHas) {
  const Unit unit = make(UnitKind::kBlockDot, "a=mxfp8_e5m2 lanes=4", {.combinational = true});
  EXPECT_EQ(unit.report.spec_text, "a=e5m2@e8m0/32 b=e5m2@e8m0/32 lanes=4");
  for (const char* word : {"accumulator", "output=", "rounding", "max-k", "specials"})
    EXPECT_EQ(unit.verilog.find(word), std::string::npos) << word;
  // What is left out has no part in the unit.
  EXPECT_EQ(unit.verilog,
            make(UnitKind::kBlockDot,
                 "a=mxfp8_e5m2 lanes=4 accumulator=bf16 output=e4m3 specials=nan max-k=64",
                 {.combinational = true})
                .verilog);
}

TEST(Verilog, NamesTheCommandThatMakesItAgain) {
  const auto has = [](const Unit& unit, const std::string& line) {
    return unit.verilog.find("\n//   " + line + "\n") != std::string::npos;
  };
  const formats::DotSpec window = parse_dot_spec("a=mxint8 lanes=4 accumulator=kulisch[30:-40]");
  EXPECT_TRUE(
      has(generate(UnitKind::kDot, window, {.clock_ns = 5}, "my_dot"),
          "blockdot gen --a int8@e8m0/32 --b int8@e8m0/32 --lanes 4 --accumulator "
          "'kulisch[30:-40]:saturate' --output fp32 --rounding rne --max-k 65536 --clock-ns 5 "
          "--tech generic --top my_dot"));
  EXPECT_TRUE(has(make(UnitKind::kBlockDot, "a=mxint8 lanes=4", {.combinational = true}),
                  "blockdot gen --a int8@e8m0/32 --b int8@e8m0/32 --lanes 4 --unit block-dot "
                  "--combinational --tech generic"));
}

// Oracle: steps counted by hand, lanes or streams times bits, against 2^N - 1 states.
TEST(Randomness, LanesAndStreamsThatWouldShareBitsAreRefusedWithTheRegisterThatFits) {
  const auto refusal = [](DesignText text, const std::string& lfsr) -> std::string {
    text.dot.lfsr = lfsr;
    text.dot.rounding = "sr:4";
    try {
      const Design made = generate_design(resolve(text), {});
      for (const nlohmann::json& p : made.json.value("parameters", nlohmann::json::array()))
        EXPECT_EQ(p.value("meaning", "").find("within 0 draws"), std::string::npos);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  };
  const auto quantizer = [](const char* lanes) {
    DesignText text;
    text.unit = "quantizer";
    text.dot.a = "mxfp4";
    text.dot.lanes = lanes;
    return text;
  };
  const auto array = [](const char* rows, const char* cols, const char* flow = "os") {
    DesignText text;
    text.unit = "array";
    text.dot.a = "mxfp4";
    text.dot.lanes = "1";
    text.rows = rows;
    text.cols = cols;
    text.dataflow = flow;
    return text;
  };
  struct Case {
    DesignText text;
    int steps, width;
  };
  DesignText by_unit = array("2", "4", "ws");  // draws in every unit, not under the columns
  by_unit.dot.accumulator = "bf16:sr:4";
  by_unit.dot.output = "bf16";
  for (const Case& c : {Case{quantizer("32"), 128, 8}, Case{quantizer("2"), 8, 4},
                        Case{quantizer("4"), 16, 5}, Case{array("3", "5"), 60, 6},
                        Case{array("4", "4"), 64, 7}, Case{array("2", "4", "ws"), 16, 5},
                        Case{array("4", "3", "ws"), 12, 4}, Case{by_unit, 32, 6}}) {
    const std::string what =
        fmt::format("{} {} {} {}", c.text.unit, c.text.dot.lanes, c.text.rows, c.text.dataflow);
    ASSERT_TRUE(c.steps < 1 << c.width && (c.width == 4 || c.steps >= 1 << (c.width - 1)));
    EXPECT_EQ(refusal(c.text, fmt::format("galois:{}", c.width)), "") << what;
    for (int narrow = 4; narrow < c.width; ++narrow)
      EXPECT_TRUE(
          refusal(c.text, fmt::format("fibonacci:{}:3:no-port", narrow))
              .ends_with(fmt::format("; take lfsr = fibonacci:{}:3:no-port or wider", c.width)))
          << what << " " << narrow;
  }
  EXPECT_EQ(refusal(quantizer("32"), "galois:4"),
            "lfsr = galois:4: 32 lanes that draw 4 bits each would share some: it has 15 states; "
            "take lfsr = galois:8 or wider");
}

// Oracle: the definition of the roundings: of these only src adds three numbers, in a sum.
TEST(Report, OfAQuantiserNamesOnlyTheStructureThatItHas) {
  const auto arch = [](const char* rounding, Technology technology) {
    DesignText text;
    text.unit = "quantizer";
    text.dot.a = "mxfp4";
    text.dot.lanes = "2";
    text.dot.rounding = rounding;
    const std::string line =
        generate_design(resolve(text), {.technology = technology}).report.arch_text;
    const std::string before = "min-register";
    return line.substr(line.find(before) + before.size());
  };
  for (Technology technology : {Technology::kGeneric, Technology::kOsu018, Technology::kXilinx})
    for (const char* rounding : {"rne", "rtz", "sr:4", "srf:4"})
      EXPECT_EQ(arch(rounding, technology), "") << rounding;
  EXPECT_EQ(arch("src:4", Technology::kGeneric), "");  // plain operators
  EXPECT_EQ(arch("src:4", Technology::kOsu018),
            ", sum=timed,counters=3:2,adder=sklansky,cells=full");
  EXPECT_EQ(arch("src:4", Technology::kXilinx), ", sum=chain,counters=3:2,adder=plus,cells=none");
}

TEST(Report, SurvivesJson) {
  const Unit unit =
      make(UnitKind::kDot, "a=mx9 rounding=sr:16", {.technology = Technology::kXilinx});
  const nlohmann::json json = to_json(unit.report);
  EXPECT_EQ(json.at("schema"), "blockdot.unit/1");
  EXPECT_EQ(json.at("latency"), unit.schedule.latency);
  EXPECT_EQ(json.at("estimates").at("area").at("provenance"), "estimated");
  EXPECT_EQ(to_json(report_from_json(json)), json);
  EXPECT_THROW(report_from_json({{"schema", "blockdot.unit/9"}}), ConfigError);
  EXPECT_THROW(report_from_json(nlohmann::json::object()), ConfigError);
}

}  // namespace
}  // namespace blockdot::rtl_gen
