// Quantiser units, Verilated, against formats::quantize_by_definition and, through the blocks of
// testbench/vectors, against what microxcaling and gfloat computed.
#include "testbench/quantizer_proof.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>

#include "formats/error.h"
#include "formats/quantize.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/testing/simulate.h"
#include "rtl_gen/units/quantizer.h"

namespace blockdot::testbench {
namespace {

using formats::QuantizedMatrix;

struct Case {
  const char* format;
  const char* input = "fp32";
  const char* rule = "floor";
  const char* rounding = "rne";
  int lanes = 0;
};
std::string name_of(const Case& c) {
  std::string name = fmt::format("{}_{}_{}_{}", c.format, c.input, c.rule, c.rounding);
  if (c.lanes > 0) name += fmt::format("_{}_lanes", c.lanes);
  for (char& x : name)
    if (!std::isalnum(static_cast<unsigned char>(x))) x = '_';
  return name;
}
void PrintTo(const Case& c, std::ostream* out) { *out << name_of(c); }

rtl_gen::QuantizerSpec spec_of(const Case& c) {
  rtl_gen::QuantizerSpec spec;
  spec.format = formats::parse_block_format(c.format);
  spec.input = formats::parse_element(c.input);
  spec.rule = formats::parse_scale_rule(c.rule);
  spec.rounding = formats::parse_rounding(c.rounding);
  spec.lanes = c.lanes;
  return spec;
}

// One unit against the definition.
class Quantizer {
 public:
  explicit Quantizer(const rtl_gen::QuantizerSpec& spec, const rtl_gen::Arch& arch = {})
      : Quantizer(spec, generate_quantizer(spec, arch)) {}
  Quantizer(const rtl_gen::QuantizerSpec& spec, const rtl_gen::Unit& unit) : one_({{spec, unit}}) {}

  QuantizedMatrix run(const std::vector<float>& values, const QuantizedMatrix* wanted = nullptr) {
    std::string complaint;
    QuantizedMatrix q = one_.run(values, wanted, complaint)[0];
    EXPECT_EQ(complaint, "");
    return q;
  }
  // Gives the number of codes compared.
  std::int64_t check(const std::vector<float>& values, bool lost = false) {
    const std::string text = one_.check(values, lost);
    EXPECT_EQ(text, "");
    return text.empty() ? static_cast<std::int64_t>(values.size()) : 0;
  }

 private:
  Quantizers one_;
};

class QuantizerUnit : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Formats, QuantizerUnit,
    ::testing::Values(
        Case{"mxfp8_e4m3"}, Case{"mxfp8_e5m2", "bf16"}, Case{"mxfp6_e3m2"},
        Case{"mxfp6_e2m3", "bf16"}, Case{"mxfp4_e2m1"}, Case{"mxint8"}, Case{"mx9"},
        Case{"mx6", "bf16"}, Case{"mx4"}, Case{"msfp12"}, Case{"e2m5:bias=2@e8m0/48"},
        Case{"e3m0:bias=4@e8m0/8"}, Case{"e4m3:fnuz@e8m0/4"}, Case{"int4:full@e8m0/6"},
        Case{"e4m3@e8m0/8", "fp32", "ceil"}, Case{"int8@e8m0/8", "fp32", "ceil"},
        Case{"e2m1@e8m0/8", "bf16", "ceil"}, Case{"e4m3@e8m0/8", "fp32", "even"},
        Case{"e2m1@e8m0/4", "bf16", "even"}, Case{"e5m2@e8m0/8", "fp32", "rceil"},
        Case{"e2m1@e8m0/8", "bf16", "rceil"}, Case{"e4m3@e8m0/8", "fp32", "amax"},
        Case{"e2m3@e8m0/8", "fp32", "ceil-exponent"}, Case{"mxfp4_e2m1", "fp32", "floor", "sr:8"},
        Case{"mx9", "bf16", "floor", "sr:3"}, Case{"int8@e8m0/5", "fp32", "ceil", "sr:16"},
        Case{"e4m3@e8m0/8", "fp32", "floor", "rtz"}, Case{"e3m2@e8m0/8", "fp32", "floor", "rna"},
        Case{"e2m1@e8m0/8", "fp32", "rceil-reciprocal"},
        Case{"e4m3@e8m0/4", "bf16", "rceil-reciprocal"},
        Case{"int8:frac=7@e8m0/4", "fp32", "shift"}, Case{"e5m2@e8m0/4", "bf16", "shift"},
        Case{"e4m3@e8m0/4", "fp32", "three-quarters", "sr:9"}, Case{"int8:frac=10@e8m0/4"},
        // several beats a block, tiles
        Case{"mxfp8_e4m3", "fp32", "floor", "rne", 4}, Case{"mx6", "bf16", "floor", "sr:5", 8},
        Case{"e2m1@e8m0/3", "bf16", "ceil", "rne", 1}, Case{"e2m5:bias=2@e8m0/6x4", "bf16"},
        Case{"e4m2:bias=8@e8m0/4x3", "fp32", "floor", "sr:7", 2},
        Case{"e3m2@e8m0/2x2", "bf16", "even", "rne", 4}, Case{"bm8", "bf16", "floor", "sr:8", 16},
        // scales that divide
        Case{"e2m1@e4m3/16*fp32/4"}, Case{"e2m1@e4m3/4x4*fp32/tensor", "bf16", "ceil", "rne", 4},
        Case{"nvfp4_ue5m3", "bf16", "floor", "sr:8"}, Case{"e4m3@fp32/8", "fp32"},
        Case{"int8@fp32:amax/4", "fp32", "floor", "sr:12"}, Case{"e5m2@bf16/4", "bf16", "ceil"},
        Case{"int8:frac=0@bf16:amax/8", "fp32", "floor", "rne", 4},
        Case{"int4:frac=0@u4/8*fp32/4", "fp32", "floor", "rtz"},
        Case{"sm3@u6/4*bf16/8", "bf16", "ceil"}, Case{"e2m1@e4m3/4*e8m0/8", "bf16", "floor", "rna"},
        // code books
        Case{"nf4@fp32/4"}, Case{"nf4@fp32/8", "fp32", "floor", "rtz"},
        Case{"nf4@bf16/8", "bf16", "floor", "rna", 2}, Case{"nf4@e8m0/4", "bf16", "rceil"},
        Case{"dynamic8@fp32/2", "bf16", "floor", "rne", 1},
        Case{"udynamic8@e4m3/2", "bf16", "floor", "rtz", 1}, Case{"binary@fp32/4", "bf16"},
        Case{"nf4@fp32/8", "fp32", "floor", "sr:3"}, Case{"nf4@e8m0/4", "fp32", "ceil", "sr:32"},
        Case{"nf4@bf16/8", "bf16", "ceil", "src:18", 2},
        Case{"nf4@e4m3/4*bf16/4", "fp32", "floor", "srf:7"},
        Case{"dynamic8@e8m0/2", "fp32", "floor", "sr:9"},
        Case{"udynamic8@fp32/2", "bf16", "floor", "src:2", 1},
        Case{"binary@fp32/4", "fp32", "floor", "srf:8"},
        Case{"binary@e8m0/4", "fp32", "floor", "src:5"},
        // a given scale, none
        Case{"fp8_e4m3_tensor", "fp32", "floor", "rne", 4},
        Case{"fp8_e5m2_tensor", "bf16", "floor", "sr:6", 3},
        Case{"int8_row", "fp32", "floor", "rne", 4}, Case{"wage_e8", "fp32", "floor", "rna", 2},
        Case{"nf4@bf16/row", "bf16", "floor", "rne", 5},
        Case{"fp8_e4m3", "fp32", "floor", "rne", 4}, Case{"e5m2", "bf16", "floor", "rtz", 4},
        Case{"fp8_e4m3fnuz", "fp32", "floor", "rne", 4}, Case{"fp16", "fp32", "floor", "sr:10", 2},
        Case{"bf16", "fp32", "floor", "rne", 2}, Case{"e2m1", "fp32", "floor", "rne", 2},
        Case{"int4:frac=2", "fp32", "floor", "sr:4", 2},
        Case{"nf4@none", "fp32", "floor", "rne", 2}, Case{"binary", "fp32", "floor", "sr:8", 3},
        Case{"nf4@none", "bf16", "floor", "src:6", 2}),
    [](const auto& p) { return name_of(p.param); });

TEST_P(QuantizerUnit, IsTheDefinition) {
  const rtl_gen::QuantizerSpec spec = spec_of(GetParam());
  Quantizer unit(spec);
  // A scale of a tensor is the same for a whole run.
  const int runs = spec.format.block == 0 && spec.format.has_scale() ? 30 : 1;
  const int blocks = group_size(spec) > 256 ? 60 : 3000 / runs;
  for (int run = 0; run < runs; ++run) {
    const std::vector<float> values =
        blocks_of_every_kind(spec, blocks, static_cast<std::uint64_t>(17 + run));
    EXPECT_EQ(unit.check(values, runs > 1 && run == 0), blocks * group_size(spec));
  }
}

TEST_P(QuantizerUnit, IsCleanUnderEveryLint) {
  const rtl_gen::Unit unit = generate_quantizer(spec_of(GetParam()), {});
  EXPECT_EQ(rtl_gen::testing::lint(unit.verilog, unit.report.top), "");
}

// The graph before it becomes a pipeline, one beat after the other.
QuantizedMatrix interpret(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                          const QuantizedMatrix& wanted) {
  const formats::BlockFormat& f = spec.format;
  const int row = row_of(spec), size = group_size(spec), lanes = lanes_of(spec);
  const int beats = beats_of(spec), w = spec.input.width(), e = f.element.width();
  rtl_gen::UnitInterpreter unit(build_quantizer(spec));
  QuantizedMatrix q = wanted;
  std::fill(q.codes.begin(), q.codes.end(), std::uint8_t{0});
  q.micros.clear();
  if (f.block > 0) std::fill(q.scales.begin(), q.scales.end(), 0u);
  const auto set = [&](std::string_view port, std::uint64_t value) {
    if (unit.has_input(port)) unit.set_input(unit.input_index(port), value);
  };
  const auto field = [&](std::string_view port, int lo, int width) {
    const std::span<const std::uint64_t> limbs = unit.output(unit.output_index(port));
    std::uint64_t value = 0;
    for (int i = 0; i < width; ++i) {
      const auto at = static_cast<size_t>(lo + i);
      value |= (limbs[at / 64] >> (at % 64) & 1) << i;
    }
    return value;
  };
  const auto blocks = static_cast<std::int64_t>(values.size()) / size;
  for (std::int64_t cycle = 0; cycle < (blocks + 1) * beats - 1; ++cycle) {
    const std::int64_t in = cycle / beats, out = (cycle - beats + 1) / beats;
    set("valid_i", in < blocks);
    set("first_i", cycle % beats == 0);
    if (in < blocks) {
      std::vector<std::uint64_t> limbs(static_cast<size_t>((lanes * w + 63) / 64));
      for (int j = 0; j < lanes; ++j) {
        const auto at = static_cast<size_t>(cycle * lanes + j), bit = static_cast<size_t>(j * w);
        const std::uint64_t code = std::bit_cast<std::uint32_t>(values[at]) >> (32 - w);
        limbs[bit / 64] |= code << (bit % 64);
      }
      unit.set_input(unit.input_index("x_i"), limbs);
      if (f.has_outer()) set("outer_i", wanted.outer_scales[wanted.outer_index(0, in * row)]);
      if (f.block == 0 && f.has_scale()) set("scale_i", wanted.scales[0]);
    }
    unit.step();
    if (cycle < beats - 1) continue;
    for (int j = 0; j < lanes; ++j) {
      const std::int64_t place = (cycle - beats + 1) % beats * lanes + j;
      const std::int64_t at = place / row * q.length + out * row + place % row;
      const std::uint64_t code = field("elements_o", j * e, e);
      for (int byte = 0; byte < q.code_bytes; ++byte)
        q.codes[static_cast<size_t>(at * q.code_bytes + byte)] =
            static_cast<std::uint8_t>(code >> (8 * byte));
      if (f.block > 0)
        q.scales[static_cast<size_t>(place / row * blocks + out)] =
            static_cast<std::uint32_t>(field("scale_o", 0, f.scale.width()));
    }
    for (int g = 0; f.micro.bits > 0 && g < lanes / f.micro.block; ++g)
      q.micros.push_back(
          static_cast<std::uint8_t>(field("micro_o", g * f.micro.bits, f.micro.bits)));
  }
  return q;
}

// Short blocks and small tiles of all formats of the catalogue that a unit takes.
TEST(QuantizerGraph, IsTheDefinitionForEveryFormatUnderEveryRuleAndRounding) {
  std::int64_t checked = 0, specs = 0;
  for (const formats::CatalogueEntry& entry : formats::catalogue())
    for (const std::string& rule : formats::scale_rule_names())
      for (const char* rounding : {"rne", "rna", "rtz", "sr:5", "src:2"}) {
        rtl_gen::QuantizerSpec spec =
            spec_of({entry.text.c_str(), specs % 2 ? "bf16" : "fp32", rule.c_str(), rounding});
        formats::BlockFormat& f = spec.format;
        if (f.block > 0) f.block = f.micro.bits > 0 ? 4 * f.micro.block : 4;
        f.tile_rows = std::min(f.tile_rows, 2);
        if (f.has_outer() && f.tile_rows == 1) f.outer = {f.outer.scale, formats::Span::kBlock, 4};
        spec.lanes = f.block > 0 ? (specs % 3 == 0 ? f.block / 2 : 0) : 2;
        try {
          validate(spec);
        } catch (const ConfigError&) {
          continue;
        }
        const std::vector<float> values =
            blocks_of_every_kind(spec, 200, static_cast<std::uint64_t>(specs));
        const QuantizedMatrix wanted = by_definition(spec, values, false);
        ASSERT_EQ(difference(spec, values, interpret(spec, values, wanted), wanted), "")
            << to_text(spec);
        checked += static_cast<std::int64_t>(values.size());
        ++specs;
      }
  EXPECT_GT(specs, 700);
  EXPECT_GT(checked, 100000);
}

// Every bfloat16 beside one of each exponent (and the borders of the rules): all ways in which an
// element meets a scale.
class EveryValue : public ::testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Exhaustive, EveryValue,
    ::testing::Values(Case{"e2m1@e8m0/2", "bf16"}, Case{"int4@e8m0/2", "bf16"},
                      Case{"e3m2@e8m0/2", "bf16", "ceil"}, Case{"sm2@e8m0/2+u1/1", "bf16"},
                      Case{"e2m1@e4m3/2", "bf16"}, Case{"e3m2@bf16/2", "bf16", "ceil"},
                      Case{"int4@bf16:amax/2", "bf16", "floor", "rne", 1},
                      Case{"nf4@bf16/2", "bf16"}, Case{"nf4@e8m0/2", "bf16", "floor", "sr:4"},
                      Case{"binary@e8m0/2", "bf16", "floor", "src:6"}),
    [](const auto& p) { return name_of(p.param); });

TEST_P(EveryValue, BesideScalesOfEverySize) {
  const rtl_gen::QuantizerSpec spec = spec_of(GetParam());
  Quantizer unit(spec);
  std::int64_t checked = 0;
  for (std::uint32_t partner : {0x0000u, 0x0001u, 0x007Fu, 0x0080u, 0x00FFu, 0x0180u, 0x0400u,
                                0x3F80u, 0x3FC0u, 0x40E0u, 0x7E00u, 0x7F7Fu, 0x7F80u}) {
    std::vector<float> values;
    for (std::uint32_t x = 0; x < 0x10000u; ++x) {
      values.push_back(as_input(spec, x << 16));
      values.push_back(as_input(spec, partner << 16));
    }
    checked += unit.check(values);
  }
  EXPECT_EQ(checked, 13 * 65536 * 2);
}

// What public libraries made of the same inputs (testbench/vectors/README.md).
class OutsideVectors : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Formats, OutsideVectors,
                         ::testing::Values("mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3",
                                           "mxfp4_e2m1", "mxint8"));

std::vector<float> read_floats(const std::string& file) {
  std::ifstream in(std::string(BLOCKDOT_SOURCE_DIR) + "/testbench/vectors/" + file,
                   std::ios::binary);
  std::vector<float> values;
  for (float v = 0; in.read(reinterpret_cast<char*>(&v), sizeof v);) values.push_back(v);
  return values;
}

TEST_P(OutsideVectors, AreWhatTheUnitMakesOfTheirInputs) {
  const rtl_gen::QuantizerSpec spec = spec_of({GetParam()});
  const std::vector<float> inputs = read_floats("inputs.f32");
  ASSERT_EQ(inputs.size(), 1400u * 32u);
  const std::vector<float> got = formats::dequantize(Quantizer(spec).run(inputs));
  // Modulo the sign of zero, which microxcaling drops.
  for (const char* source : {"exact", "microxcaling"}) {
    const std::vector<float> wanted = read_floats(fmt::format("{}.{}.f32", GetParam(), source));
    ASSERT_EQ(wanted.size(), got.size());
    for (size_t i = 0; i < got.size(); ++i)
      ASSERT_TRUE(got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i])))
          << source << " value " << i << ": " << got[i] << ", wanted " << wanted[i];
  }
}

TEST(QuantizerSchedules, ChangeNothing) {
  for (const Case& c : {Case{"sm4@e8m0/8+u1/2", "bf16", "floor", "sr:4"},
                        Case{"e2m1@e4m3/8*fp32/4", "bf16", "floor", "sr:4", 4},
                        Case{"nf4@fp32/4", "bf16", "floor", "rne", 2}})
    for (const char* schedule : {"asap", "random"}) {
      rtl_gen::Arch arch;
      arch.schedule = rtl_gen::parse_schedule_kind(schedule);
      arch.schedule_seed = 5;
      const rtl_gen::QuantizerSpec spec = spec_of(c);
      const std::vector<float> values = blocks_of_every_kind(spec, 1000, 2);
      EXPECT_EQ(Quantizer(spec, arch).check(values), 1000 * group_size(spec)) << schedule;
    }
}

// Faults that the comparison has to find: the expression of one signal is another one.
struct Fault {
  const char* name;
  Case unit;
  const char* signal;
  const char* expression;
};
void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.name; }

class QuantizerFaults : public ::testing::TestWithParam<Fault> {};
const Case kTwoBeats{"e4m3@e8m0/4", "bf16", "floor", "rne", 2};
const Case kQuotient{"e2m1@e4m3/4*fp32/4", "bf16"};
const Case kDrawn{"nf4@e8m0/2", "bf16", "floor", "sr:4"};
INSTANTIATE_TEST_SUITE_P(
    Seeded, QuantizerFaults,
    ::testing::Values(
        Fault{"the_first_beats_maximum_is_forgotten", kTwoBeats, "so_far", "in_max0_0"},
        Fault{"the_next_blocks_maximum_comes_early", kTwoBeats, "amax", "so_far"},
        Fault{"nan_and_inf_are_numbers", kTwoBeats, "finite", "1'b1"},
        Fault{"the_rest_of_a_scales_quotient_is_lost", kQuotient, "scale_rest5", "26'd0"},
        Fault{"a_group_takes_its_first_elements_step", {"mx6", "bf16"}, "g1_max0_0", "mag2"},
        Fault{"the_draw_counts_nothing", kDrawn, "e0_drop", "30'd0"},
        Fault{"the_last_value_goes_up", kDrawn, "e1_up", "1'b1"}),
    [](const auto& p) { return p.param.name; });

TEST_P(QuantizerFaults, AreFound) {
  const rtl_gen::QuantizerSpec spec = spec_of(GetParam().unit);
  rtl_gen::Arch arch;
  arch.combinational = true;
  rtl_gen::Unit unit = generate_quantizer(spec, arch);
  const std::vector<float> values = blocks_of_every_kind(spec, 1000, 3);
  const QuantizedMatrix wanted = by_definition(spec, values, false);
  Quantizer right(spec, unit);
  ASSERT_EQ(difference(spec, values, right.run(values, &wanted), wanted), "");
  const std::string head = fmt::format("  assign {} = ", GetParam().signal);
  const size_t at = unit.verilog.find(head);
  ASSERT_NE(at, std::string::npos) << unit.verilog;
  const size_t from = at + head.size();
  unit.verilog.replace(from, unit.verilog.find(';', from) - from, GetParam().expression);
  Quantizer wrong(spec, unit);
  EXPECT_NE(difference(spec, values, wrong.run(values, &wanted), wanted), "");
}

TEST(QuantizerSpec, RefusesWhatItCannotBuild) {
  for (const Case& c :
       {Case{"nf4_dq"}, Case{"tf32"}, Case{"e4m3", "fp32", "ceil"},
        Case{"e4m3@fp32/32*fp32/tensor"}, Case{"e4m3@e5m2:finite/8"},
        Case{"e4m3@fp32/8", "fp32", "amax"}, Case{"e4m3@fp32/8", "fp32", "floor", "sr:25"},
        Case{"mxfp4_e2m1", "fp32", "floor", "rne", 5}, Case{"mx9", "fp32", "floor", "rne", 1},
        Case{"e4m3@e8m0/96x96"}, Case{"nf4", "fp32", "floor", "sr:4"},
        Case{"nf4", "fp32", "floor", "srf:3"}, Case{"nf4@bf16/8", "fp32", "floor", "sr:20"},
        Case{"dynamic8@e5m1:fn/8*fp32/4", "fp32", "floor", "sr:1"}, Case{"mxfp4_e2m1", "fp16"},
        Case{"mxfp4_e2m1", "fp32", "optimal"}, Case{"mx9", "fp32", "ceil"}})
    EXPECT_THROW(validate(spec_of(c)), ConfigError) << name_of(c);
}

std::string refusal(const rtl_gen::QuantizerSpec& spec) {
  try {
    validate(spec);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(QuantizerSpec, NamesTheLargestTileThatFits) {
  for (const auto& [format, input, wanted] : {std::tuple{"fp8_e4m3_128x128", "fp32", "128x32"},
                                              {"fp8_e4m3_128x128", "bf16", "128x64"},
                                              {"e4m3@e8m0/6000x1", "fp32", "4096"},
                                              {"sm4@e8m0/8200+u1/2", "fp32", "4096+u1/2"}}) {
    rtl_gen::QuantizerSpec spec = spec_of({format, input, "floor", "rne", 2});
    const std::string line = refusal(spec);
    // The last word of what is offered, before the command that takes any tile.
    const std::string offered = line.substr(0, line.find(", or `blockdot quantize`"));
    const std::string tried = offered.substr(offered.rfind(' ') + 1);
    EXPECT_TRUE(tried.ends_with("/" + std::string(wanted))) << line;
    EXPECT_EQ(line.find("--input bf16") != std::string::npos,
              std::string_view(input) == "fp32" &&
                  refusal(spec_of({format, "bf16", "floor", "rne", 2})).empty())
        << line;
    spec.format = formats::parse_block_format(tried);
    EXPECT_EQ(refusal(spec), "");
    if (spec.format.tile_rows > 1) {
      ++spec.format.tile_rows;
      EXPECT_NE(refusal(spec), "");
    }
  }
}

TEST(QuantizerSpec, NamesTheRandomBitsThatAFormatTakes) {
  for (const auto& [name, most] : {std::pair{"nf4", 3},
                                   {"nf4@bf16/8", 19},
                                   {"nf4@e4m3/8", 23},
                                   {"dynamic8@fp32/8", 2},
                                   {"binary@fp32/8", 29},
                                   {"e4m3@fp32/8", 24},
                                   {"dynamic8@e5m1:fn/8*fp32/4", 0}}) {
    const auto line = [&, format = name](const std::string& rounding) {
      return refusal(spec_of({format, "fp32", "floor", rounding.c_str()}));
    };
    if (most > 1) {
      EXPECT_EQ(line(fmt::format("sr:{}", most)), "");
      EXPECT_EQ(line(fmt::format("src:{}", most - 1)), "");
    }
    EXPECT_NE(line(fmt::format("sr:{}", most + 1))
                  .find(most > 0 ? fmt::format("takes at most {} random bits", most)
                                 : "for any number of random bits"),
              std::string::npos)
        << line(fmt::format("sr:{}", most + 1));
  }
}

}  // namespace
}  // namespace blockdot::testbench
