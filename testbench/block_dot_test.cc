// The bare block dot, Verilated, against models::golden_block_dot.
//
//   every pair of codes of two elements of at most 8 bits, one lane (65536 products a pair of
//   formats); the most negative code of a symmetric intK is outside the contract and left out
//   random beats of more lanes, for what lies between the lanes: order, second level, flags
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "formats/error.h"
#include "models/golden.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/model.h"
#include "testbench/stimulus.h"

namespace blockdot::testbench {
namespace {

using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementKind;

// Drives a combinational block dot with beats and compares every output.
class BlockDotUnit {
 public:
  explicit BlockDotUnit(const DotSpec& spec,
                        rtl_gen::Technology technology = rtl_gen::Technology::kGeneric,
                        std::string_view structure = "")
      : spec_(spec),
        unit_(rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, spec,
                                combinational(technology, structure))),
        model_(sim::Model::load(source(unit_))) {}

  // Values checked; the first difference fails the test.
  std::int64_t check(const std::vector<models::BeatBuffer>& beats) {
    std::vector<std::uint8_t> in(beats.size() * model_.input_bytes(), 0);
    std::vector<std::uint8_t> out(beats.size() * model_.output_bytes(), 0);
    for (size_t i = 0; i < beats.size(); ++i) {
      std::uint8_t* record = in.data() + i * model_.input_bytes();
      for (bool a : {true, false})
        for_each_field(spec_, beats[i].beat(true, true), a,
                       [&](models::BeatPort port, int lo, int width, std::uint32_t value) {
                         if (model_.has_input(port_name(port, a)))  // else the result's
                           put_bits(record, model_.input(port_name(port, a)), lo, width, value);
                       });
    }
    sim::Model::Instance instance(model_);
    instance.run(static_cast<std::int64_t>(beats.size()), in.data(), out.data());
    std::int64_t checked = 0;
    for (size_t i = 0; i < beats.size(); ++i) {
      models::BlockDot golden = golden_block_dot(spec_, beats[i].beat(true, true));
      const std::uint8_t* record = out.data() + i * model_.output_bytes();
      std::string beat = fmt::format("{}: a=[{:#x}] b=[{:#x}] scales {:#x} {:#x}", to_text(spec_),
                                     fmt::join(beats[i].a, " "), fmt::join(beats[i].b, " "),
                                     beats[i].a_scale, beats[i].b_scale);
      models::Exact sum(signed_of(record, "sum_o"), unit_.report.sum_lsb);
      if (!golden.nan && sum != golden.sum) {
        ADD_FAILURE() << beat << ": sum " << sum.text() << ", golden " << golden.sum.text();
        return checked;
      }
      ++checked;
      if (has_output("nan_o")) {
        bool nan = read(record, "nan_o") != 0;
        bool wanted = golden.nan || golden.scale_nan;
        if (nan != wanted) {
          ADD_FAILURE() << beat << ": nan_o " << nan;
          return checked;
        }
        ++checked;
      } else if (golden.nan) {
        ADD_FAILURE() << beat << ": can be NaN, but there is no nan_o";
        return checked;
      }
      if (golden.scale_nan) continue;
      int exponent = 0;
      if (has_output("scale_o")) {
        exponent = static_cast<int>(read(record, "scale_o"));
        ++checked;
        if (exponent != golden.scale_exponent) {
          ADD_FAILURE() << beat << ": scale_o " << exponent << ", golden " << golden.scale_exponent;
          return checked;
        }
      }
      models::Exact::Integer significand = 1;
      if (has_output("scale_sig_o")) {
        significand = scale_can_be_negative() ? signed_of(record, "scale_sig_o")
                                              : unsigned_of(record, "scale_sig_o");
        ++checked;
      }
      // What the page of unit.json says of the two ports and its scale.lsb.
      models::Exact factor(significand, exponent + unit_.report.scale_lsb);
      if (significand != golden.scale_significand || factor != golden.factor) {
        ADD_FAILURE() << beat << ": factor " << factor.text() << ", golden "
                      << golden.factor.text();
        return checked;
      }
    }
    return checked;
  }

  const rtl_gen::Unit& unit() const { return unit_; }

 private:
  static rtl_gen::Arch combinational(rtl_gen::Technology technology, std::string_view structure) {
    rtl_gen::Arch arch;
    arch.technology = technology;
    arch.structure = rtl_gen::parse_structure(structure);
    arch.combinational = true;
    return arch;
  }
  static sim::ModelSource source(const rtl_gen::Unit& unit) {
    sim::ModelSource source;
    source.verilog = unit.verilog;
    source.top = unit.report.top;
    for (const rtl_gen::Port& port : unit.report.ports)
      source.ports.push_back({port.name, port.is_input, port.width});
    return source;
  }
  bool has_output(std::string_view name) const {
    for (const rtl_gen::Port& port : unit_.report.ports)
      if (port.name == name && !port.is_input) return true;
    return false;
  }
  std::uint64_t read(const std::uint8_t* record, std::string_view name) const {
    sim::ModelField field = model_.output(name);
    return sim::get_bits(record, field, 0, field.width);
  }
  bool scale_can_be_negative() const {
    auto negative = [](const BlockFormat& f) {
      return f.outer.mean || (f.scale.kind == formats::ScaleKind::kCodeBook &&
                              f.scale.book != formats::CodeBook::kUDynamic8);
    };
    return negative(spec_.a) || negative(spec_.b);
  }
  models::Exact::Integer unsigned_of(const std::uint8_t* record, std::string_view name) const {
    sim::ModelField field = model_.output(name);
    models::Exact::Integer value = 0;
    for (int lo = (field.width - 1) / 32 * 32; lo >= 0; lo -= 32)
      value = (value << 32) | sim::get_bits(record, field, lo, std::min(32, field.width - lo));
    return value;
  }
  models::Exact::Integer signed_of(const std::uint8_t* record, std::string_view name) const {
    models::Exact::Integer value = unsigned_of(record, name);
    models::Exact::Integer top = models::Exact::Integer(1)
                                 << static_cast<unsigned>(model_.output(name).width - 1);
    return value >= top ? models::Exact::Integer(value - 2 * top) : value;
  }

  DotSpec spec_;
  rtl_gen::Unit unit_;
  sim::Model model_;
};

std::vector<std::uint32_t> used_codes(const formats::ElementFormat& format) {
  std::vector<std::uint32_t> codes;
  for (std::uint32_t code = 0; code < 1u << format.width(); ++code)
    if (format.kind != ElementKind::kInteger || !format.symmetric ||
        code != 1u << (format.width() - 1))
      codes.push_back(code);
  return codes;
}

struct Pair {
  const char* a;
  const char* b;
};
class EveryPairOfCodes : public ::testing::TestWithParam<Pair> {};

TEST_P(EveryPairOfCodes, HasTheGoldenProduct) {
  DotSpec spec;
  spec.a.element = formats::parse_element(GetParam().a);
  spec.b.element = formats::parse_element(GetParam().b);
  spec.output = formats::parse_element("fp32");
  spec.lanes = 1;
  std::vector<models::BeatBuffer> beats;
  for (std::uint32_t a : used_codes(spec.a.element))
    for (std::uint32_t b : used_codes(spec.b.element)) {
      beats.emplace_back();
      beats.back().a = {a};
      beats.back().b = {b};
    }
  BlockDotUnit unit(spec);
  EXPECT_GE(unit.check(beats), static_cast<std::int64_t>(beats.size()));
  EXPECT_GT(beats.size(), 0u);
}

// Every element of at most 8 bits of the catalogue, with itself; then the mixed pairs.
INSTANTIATE_TEST_SUITE_P(
    Exhaustive, EveryPairOfCodes,
    ::testing::Values(Pair{"e5m2", "e5m2"}, Pair{"e4m3", "e4m3"}, Pair{"e3m2", "e3m2"},
                      Pair{"e2m3", "e2m3"}, Pair{"e2m1", "e2m1"}, Pair{"int8", "int8"},
                      Pair{"int4", "int4"}, Pair{"int8:full", "int8:full"},
                      Pair{"e2m5:bias=2", "e2m5:bias=2"},
                      Pair{"e4m3:finite:bias=8", "e4m3:finite:bias=8"},
                      Pair{"e2m5:bias=2", "e4m3:finite:bias=8"}, Pair{"e2m4:bias=2", "e4m2:bias=8"},
                      Pair{"e2m3:bias=2", "e3m2:bias=4"}, Pair{"e2m2:bias=2", "e3m1:bias=4"},
                      Pair{"e2m1:bias=2", "e3m0:bias=4"}, Pair{"e3m0:bias=4", "e3m0:bias=4"},
                      Pair{"sm7", "sm7"}, Pair{"sm4", "sm4"}, Pair{"sm2", "sm2"},
                      Pair{"sm3", "sm3"}, Pair{"e3m4", "e3m4"}, Pair{"e4m3:fnuz", "e5m2:fnuz"},
                      Pair{"e4m3:ieee", "e4m3:ieee"}, Pair{"e4m3", "e2m1"}, Pair{"int8", "e4m3"},
                      Pair{"e5m2", "e4m3"}, Pair{"sm7", "int8"}),
    [](const auto& p) {
      std::string name = fmt::format("{}_x_{}", p.param.a, p.param.b);
      for (char& c : name)
        if (c == ':' || c == '=') c = '_';
      return name;
    });

class RandomBeats : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(
    Lanes, RandomBeats,
    ::testing::Values("a=mxfp8_e4m3 lanes=8", "a=mxfp8_e5m2 lanes=4", "a=mxfp4_e2m1 lanes=32",
                      "a=mxint8 lanes=16", "a=bm8 b=bm8_e4m3 lanes=8", "a=mx9 lanes=16",
                      "a=mx4 lanes=6", "a=mx6 b=mxint8 lanes=4", "a=sm3@e8m0/16+u3/4 lanes=8",
                      "a=bf16 lanes=3", "a=nvfp4 lanes=4", "a=int8@fp32/32 b=mxint8 lanes=2",
                      "a=nf4_dq b=vsq4 lanes=2", "a=binary lanes=5", "a=int8_row lanes=2"),
    [](const auto& p) {
      std::string name = p.param;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

std::vector<models::BeatBuffer> random_beats(const DotSpec& spec) {
  std::vector<models::BeatBuffer> beats;
  for (const Stimulus& stimulus :
       {directed_stimulus(spec), random_stimulus(spec, 5, 1500), uniform_stimulus(spec, 6, 1500)})
    for (const Cycle& cycle : stimulus) beats.push_back(cycle.data);
  return beats;
}

TEST_P(RandomBeats, HaveTheGoldenSumScaleAndNan) {
  DotSpec spec = formats::parse_dot_spec(GetParam());
  std::vector<models::BeatBuffer> beats = random_beats(spec);
  BlockDotUnit unit(spec);
  EXPECT_GE(unit.check(beats), static_cast<std::int64_t>(beats.size()));
}

// Every structure of both technologies that take more than one. The text that a simulator reads
// has gates for full adder cells; the cells themselves are in the proof by SAT.
struct Built {
  const char* technology;
  const char* spec;
  const char* structure;
};
class EveryStructure : public ::testing::TestWithParam<Built> {};
INSTANTIATE_TEST_SUITE_P(
    Structures, EveryStructure,
    ::testing::Values(
        Built{"osu018", "a=mxfp8_e4m3 lanes=8", ""},
        Built{"osu018", "a=mxfp8_e4m3 lanes=3", "align=split,signs=after,adder=kogge-stone"},
        Built{"osu018", "a=mxfp8_e4m3 lanes=4", "multiplier=word,align=before,signs=after"},
        Built{"osu018", "a=mxfp8_e4m3 lanes=5", "align=before,signs=before,adder=ripple"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=4", "signs=before,adder=brent-kung,cells=none"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=4", "align=split,signs=after,sum=compress"},
        Built{"osu018", "a=mxfp4_e2m1 lanes=32", ""},
        Built{"osu018", "a=mxfp6_e3m2 lanes=7", "align=shift,signs=after"},
        Built{"osu018", "a=mxfp4_e2m1 lanes=32", "align=split,signs=negate"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=4", "align=split,signs=negate,adder=brent-kung"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=6", "align=shift,signs=before,adder=sparse"},
        Built{"osu018", "a=mxfp8_e4m3 lanes=5", "signs=negate,adder=sparse,cells=none"},
        Built{"osu018", "a=mxfp8_e4m3 lanes=4", "align=before,signs=negate,cells=none"},
        Built{"osu018", "a=mx9 lanes=16", "align=shift,signs=negate"},
        Built{"osu018", "a=nf4@none lanes=4", "multiplier=table,signs=negate"},
        Built{"xilinx", "a=mxfp6_e3m2 lanes=5", "signs=negate,sum=tree"},
        Built{"osu018", "a=mxfp8_e4m3 lanes=8", "optimize=delay"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=3", "optimize=area"},
        Built{"osu018", "a=mxint8 lanes=8", "multiplier=booth"},
        Built{"osu018", "a=int8:full lanes=8", "multiplier=booth"},
        Built{"osu018", "a=int8:full b=int4:full lanes=8", "multiplier=booth"},
        Built{"osu018", "a=int5 b=int8 lanes=5", "multiplier=booth"},
        Built{"osu018", "a=mxint8 lanes=8", "multiplier=array"},
        Built{"osu018", "a=mxint8 lanes=4", "multiplier=word,adder=kogge-stone"},
        Built{"osu018", "a=mx9 lanes=16", ""},
        Built{"xilinx", "a=mxfp8_e4m3 lanes=8", "align=split,signs=relative"},
        Built{"xilinx", "a=mxfp8_e4m3 lanes=3", "multiplier=word,align=before,signs=relative"},
        Built{"xilinx", "a=mxfp8_e5m2 lanes=5", ""},
        Built{"xilinx", "a=mxfp8_e5m2 lanes=4", "sum=tree,signs=after"},
        Built{"xilinx", "a=mxfp4_e2m1 lanes=32", "align=shift,signs=relative"},
        Built{"xilinx", "a=mxfp6_e2m3 lanes=9", ""},
        Built{"xilinx", "a=mxint8 lanes=8", "multiplier=booth,sum=chain"},
        Built{"xilinx", "a=int8:full b=int5:full lanes=6", "multiplier=booth,sum=chain"},
        Built{"xilinx", "a=mxint8 lanes=4", "multiplier=booth,sum=tree"},
        Built{"xilinx", "a=mxint8 lanes=4", "multiplier=array,sum=tree"},
        Built{"xilinx", "a=bm8 b=bm8_e4m3 lanes=8", ""}, Built{"xilinx", "a=mx9 lanes=16", ""},
        Built{"xilinx", "a=mx6 b=mxint8 lanes=4", ""},
        Built{"osu018", "a=mxfp8_e4m3 lanes=8", "align=bucket,adder=brent-kung"},
        Built{"osu018", "a=mxfp6_e2m3 lanes=9", "align=split,signs=extend"},
        Built{"osu018", "a=mxfp8_e5m2 lanes=5", "align=bucket,counters=6:3,cells=library"},
        Built{"osu018", "a=mxfp4_e2m1 lanes=32", "multiplier=table,cells=library"},
        Built{"osu018", "a=e2m1 b=int4:full lanes=8", "multiplier=table,signs=before"},
        Built{"osu018", "a=nf4@none lanes=4", "multiplier=table,signs=after"},
        Built{"osu018", "a=int4:full lanes=8", "multiplier=table"},
        Built{"osu018", "a=mxint8 lanes=8", "counters=6:3,cells=library"},
        Built{"xilinx", "a=mxfp8_e4m3 lanes=8", "align=bucket,sum=chain"},
        Built{"xilinx", "a=mxfp8_e5m2 lanes=9", "align=bucket,signs=before,counters=6:3"},
        Built{"xilinx", "a=mxfp4_e2m1 lanes=32", "multiplier=table,sum=chain"},
        Built{"xilinx", "a=mxfp6_e2m3 lanes=16", "sum=tree,signs=after,counters=6:3"},
        Built{"xilinx", "a=mx9 lanes=16", "align=bucket"},
        Built{"generic", "a=mxfp4_e2m1 lanes=4", "multiplier=table,counters=6:3"},
        Built{"generic", "a=mxint8 lanes=4", "multiplier=booth"},
        Built{"generic", "a=mxfp8_e4m3 lanes=4", "signs=before,sum=timed,adder=sklansky"}),
    [](const auto& p) {
      std::string name =
          fmt::format("{}_{}_{}", p.param.technology, p.param.spec, p.param.structure);
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

TEST_P(EveryStructure, HasTheGoldenSumScaleAndNan) {
  const Built& built = GetParam();
  DotSpec spec = formats::parse_dot_spec(built.spec);
  std::vector<models::BeatBuffer> beats = random_beats(spec);
  BlockDotUnit unit(spec, rtl_gen::parse_technology(built.technology), built.structure);
  EXPECT_GE(unit.check(beats), static_cast<std::int64_t>(beats.size()));
}

}  // namespace
}  // namespace blockdot::testbench
