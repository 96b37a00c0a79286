// Quantiser units, Verilated, against formats::quantize_by_definition and, through the blocks of
// testbench/vectors, against what microxcaling and gfloat computed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <random>

#include "formats/error.h"
#include "formats/quantize.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/testing/simulate.h"
#include "rtl_gen/units/quantizer.h"
#include "sim/cosim/lockstep.h"

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

int group_size(const rtl_gen::QuantizerSpec& spec) { return row_of(spec) * spec.format.tile_rows; }

// Blocks or tiles side by side along one matrix; the values of each stand together, row after row.
std::vector<float> side_by_side(const rtl_gen::QuantizerSpec& spec,
                                const std::vector<float>& values) {
  const int block = row_of(spec), rows = spec.format.tile_rows;
  const size_t groups = values.size() / static_cast<size_t>(group_size(spec));
  std::vector<float> matrix(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t group = i / static_cast<size_t>(block * rows);
    const size_t row = i / static_cast<size_t>(block) % static_cast<size_t>(rows);
    const size_t k = i % static_cast<size_t>(block);
    matrix[(row * groups + group) * static_cast<size_t>(block) + k] = values[i];
  }
  return matrix;
}

// What a NaN or Inf does to a scale that others share is for who gives the scale to say: nothing,
// or with `lost` it becomes NaN.
QuantizedMatrix by_definition(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                              bool lost) {
  formats::QuantizeOptions options;
  options.scale_rule = spec.rule;
  options.rounding = spec.rounding;
  if (spec.format.block == 0 && !lost) options.specials = formats::BlockSpecials::kPerElement;
  const std::vector<float> matrix = side_by_side(spec, values);
  const int rows = spec.format.tile_rows;
  return quantize_by_definition(
      spec.format,
      formats::row_major(matrix.data(), rows, static_cast<std::int64_t>(matrix.size()) / rows),
      options);
}

// The first code that is another one, or nothing.
std::string difference(const rtl_gen::QuantizerSpec& spec, const std::vector<float>& values,
                       const QuantizedMatrix& got, const QuantizedMatrix& wanted) {
  const int size = group_size(spec), block = row_of(spec);
  for (std::int64_t r = 0; r < got.rows; ++r)
    for (std::int64_t k = 0; k < got.length; ++k) {
      if (got.scale(r, k) == wanted.scale(r, k) && got.code(r, k) == wanted.code(r, k) &&
          got.micro(r, k) == wanted.micro(r, k))
        continue;
      std::string text =
          fmt::format("value {} of row {} has code {} scale {} micro {}, wanted {} {} {}; block", k,
                      r, got.code(r, k), got.scale(r, k), got.micro(r, k), wanted.code(r, k),
                      wanted.scale(r, k), wanted.micro(r, k));
      for (std::int64_t i = k / block * size; i < (k / block + 1) * size; ++i)
        text += fmt::format(" {:a}", values[static_cast<size_t>(i)]);
      if (spec.format.has_outer())
        text += fmt::format("; outer scale {}", wanted.outer_scales[wanted.outer_index(r, k)]);
      return text;
    }
  return "";
}

// A unit that takes blocks one after the other, now and then with a bubble of garbage between beats
// and, where a block has several, a block that breaks off.
class Quantizer {
 public:
  explicit Quantizer(const rtl_gen::QuantizerSpec& spec, const rtl_gen::Arch& arch = {})
      : Quantizer(spec, generate_quantizer(spec, arch)) {}
  Quantizer(const rtl_gen::QuantizerSpec& spec, const rtl_gen::Unit& unit)
      : spec_(spec), unit_(unit), model_(load()) {}

  // What the unit makes of whole blocks of values; outer and given scales are those of `wanted`.
  QuantizedMatrix run(const std::vector<float>& values, const QuantizedMatrix* wanted = nullptr) {
    const formats::BlockFormat& f = spec_.format;
    const int block = row_of(spec_), size = group_size(spec_), lanes = lanes_of(spec_),
              beats = beats_of(spec_);
    const auto blocks = static_cast<std::int64_t>(values.size()) / size;
    const int w = spec_.input.width(), latency = unit_.report.latency;
    const bool has_reset =
        std::any_of(unit_.report.ports.begin(), unit_.report.ports.end(),
                    [](const rtl_gen::Port& port) { return port.name == "rst_ni"; });
    const size_t in_bytes = model_.input_bytes(), out_bytes = model_.output_bytes();
    std::vector<std::uint8_t> in, out;
    std::vector<std::int64_t> when;  // of each block's last beat
    std::mt19937_64 random(3);
    const auto cycle = [&](std::int64_t b, int beat, bool valid = true) {
      in.resize(in.size() + in_bytes, 0);
      std::uint8_t* record = in.data() + in.size() - in_bytes;
      if (has_reset) sim::put_bits(record, model_.input("rst_ni"), 0, 1, 1);
      sim::put_bits(record, model_.input("valid_i"), 0, 1, valid);
      if (beats > 1)
        sim::put_bits(record, model_.input("first_i"), 0, 1, valid ? beat == 0 : random() % 2);
      const bool last = b >= 0 && beat == beats - 1;
      if (f.has_outer())
        sim::put_bits(record, model_.input("outer_i"), 0, f.outer.scale.width(),
                      last ? wanted->outer_scales[wanted->outer_index(0, b * f.block)] : random());
      if (f.block == 0 && f.has_scale())
        sim::put_bits(record, model_.input("scale_i"), 0, f.scale.width(),
                      b >= 0 ? wanted->scales[0] : random());
      for (int j = 0; j < lanes; ++j) {
        std::uint32_t code = b >= 0 ? std::bit_cast<std::uint32_t>(
                                          values[static_cast<size_t>(b * size + beat * lanes + j)])
                                    : static_cast<std::uint32_t>(random());
        if (w == 16) code >>= 16;
        sim::put_bits(record, model_.input("x_i"), j * w, w, code);
      }
    };
    in.resize(3 * in_bytes, 0);  // reset
    for (std::int64_t b = 0; b < blocks; ++b) {
      if (beats > 1 && random() % 16 == 0)
        for (int beat = 0; beat < static_cast<int>(random() % static_cast<unsigned>(beats)); ++beat)
          cycle(-1, beat);
      for (int beat = 0; beat < beats; ++beat) {
        if (random() % 5 == 0) cycle(-1, beat, false);
        cycle(b, beat);
      }
      when.push_back(static_cast<std::int64_t>(in.size() / in_bytes) - 1);
    }
    for (int i = 0; i <= latency + beats; ++i) cycle(-1, 0, false);
    out.resize(in.size() / in_bytes * out_bytes);
    sim::Model::Instance instance(model_);
    instance.run(static_cast<std::int64_t>(in.size() / in_bytes), in.data(), out.data());

    std::int64_t shown = 0;
    for (size_t c = 3; c < in.size() / in_bytes; ++c)
      shown += static_cast<std::int64_t>(read(out.data() + c * out_bytes, "valid_o", 0, 1));
    EXPECT_EQ(shown, blocks * beats) << "valid_o";
    QuantizedMatrix q;
    q.format = f;
    q.rows = f.tile_rows;
    q.length = q.padded_length = blocks * block;
    const int e = f.element.width();
    q.code_bytes = e <= 8 ? 1 : 2;
    q.codes.resize(values.size() * static_cast<size_t>(q.code_bytes));
    if (f.block > 0) q.scales.resize(static_cast<size_t>(blocks * f.tile_rows));
    if (f.block == 0 && f.has_scale()) q.scales = wanted->scales;
    const formats::MicroExponent& micro = f.micro;
    for (std::int64_t b = 0; b < blocks; ++b) {
      for (int beat = 0; beat < beats; ++beat) {
        const std::int64_t at = when[static_cast<size_t>(b)] + latency + beat;
        const std::uint8_t* record = out.data() + static_cast<size_t>(at) * out_bytes;
        EXPECT_EQ(read(record, "valid_o", 0, 1), 1u) << "block " << b << " after the latency";
        if (beats > 1) {
          EXPECT_EQ(read(record, "first_o", 0, 1), beat == 0 ? 1u : 0u);
          EXPECT_EQ(read(record, "last_o", 0, 1), beat == beats - 1 ? 1u : 0u);
        }
        for (int j = 0; j < lanes; ++j) {
          const int place = beat * lanes + j;
          const std::int64_t row = place / block, k = b * block + place % block;
          const std::uint64_t code = read(record, "elements_o", j * e, e);
          for (int byte = 0; byte < q.code_bytes; ++byte)
            q.codes[static_cast<size_t>((row * q.length + k) * q.code_bytes + byte)] =
                static_cast<std::uint8_t>(code >> (8 * byte));
          if (f.block > 0)
            q.scales[static_cast<size_t>(row * blocks + b)] =
                static_cast<std::uint32_t>(read(record, "scale_o", 0, f.scale.width()));
        }
        for (int g = 0; micro.bits > 0 && g < lanes / micro.block; ++g)
          q.micros.push_back(
              static_cast<std::uint8_t>(read(record, "micro_o", g * micro.bits, micro.bits)));
      }
    }
    return q;
  }

  // Compares it with the definition; gives the number of codes compared.
  std::int64_t check(const std::vector<float>& values, bool lost = false) {
    const QuantizedMatrix wanted = by_definition(spec_, values, lost);
    const QuantizedMatrix got = run(values, &wanted);
    EXPECT_EQ(got.scales.size(), wanted.scales.size());
    EXPECT_EQ(got.codes.size(), wanted.codes.size());
    EXPECT_EQ(got.micros.size(), wanted.micros.size());
    const std::string text = difference(spec_, values, got, wanted);
    EXPECT_EQ(text, "") << to_text(spec_);
    return text.empty() ? got.rows * got.length : 0;
  }

  const rtl_gen::Unit& unit() const { return unit_; }

 private:
  sim::Model load() const {
    sim::ModelSource source = sim::model_source(unit_);
    source.quick = group_size(spec_) > 4;  // few blocks of many values
    return sim::Model::load(source);
  }
  std::uint64_t read(const std::uint8_t* record, std::string_view port, int lo, int width) const {
    return sim::get_bits(record, model_.output(port), lo, width);
  }

  rtl_gen::QuantizerSpec spec_;
  rtl_gen::Unit unit_;
  sim::Model model_;
};

float as_input(const rtl_gen::QuantizerSpec& spec, std::uint32_t bits) {
  return std::bit_cast<float>(spec.input.width() == 16 ? bits & 0xFFFF0000u : bits);
}

// Blocks of one kind each: any bits; one exponent with ties and their neighbours; subnormals; near
// the largest; zeros of both signs; all-ones significands; now and then NaN and Inf; multiples of a
// short scale by what lies between two elements; borders of the rules. Under an outer scale
// neighbours are of one size.
std::vector<float> blocks_of_every_kind(const rtl_gen::QuantizerSpec& spec, int blocks,
                                        std::uint64_t seed) {
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  const formats::ElementFormat& element = spec.format.element;
  const bool far = !spec.format.has_outer() && (spec.format.block > 0 || !spec.format.has_scale());
  std::uint32_t near = random() % 254 + 1;
  std::vector<float> values;
  for (int b = 0; b < blocks; ++b) {
    auto kind = random() % 11;
    std::uint32_t centre = random() % 254 + 1;
    if (!far) {  // of one size under one scale
      if (b % 8 == 0 && spec.format.block > 0) near = centre;
      centre = std::min(near + static_cast<std::uint32_t>(random() % 12), 254u);
      if ((kind == 0 || kind == 4 || kind == 5 || kind == 9) &&
          (random() % 8 || spec.format.block == 0))
        kind = 10;
    }
    const int lowest =
        random() % 2 ? static_cast<int>(centre) - 127 : static_cast<int>(random() % 4) - 129;
    const double scale = std::ldexp(1 + random() % 16 / 16.0, static_cast<int>(centre) - 127);
    for (int j = 0; j < group_size(spec); ++j) {
      std::uint32_t bits = random();
      const auto with_exponent = [&](std::uint32_t exponent) {
        bits = (bits & 0x807FFFFFu) | std::min(exponent, 254u) << 23;
      };
      switch (kind) {
        case 0:  // any bits, now and then not finite
          if (random() % 64) with_exponent(bits >> 23 & 0xFF);
          break;
        case 1:
          with_exponent(centre > 12 ? centre - random() % 12 : centre);
          break;
        case 2:  // short significands: ties
          with_exponent(centre > 9 ? centre - random() % 9 : centre);
          bits &= ~0u << (random() % 8 + 15);
          break;
        case 3:  // next to a tie
          with_exponent(centre > 9 ? centre - random() % 9 : centre);
          bits = (bits & ~0u << (random() % 8 + 15)) +
                 (random() % 3 - 1) * (spec.input.width() == 16 ? 0x10000u : 1u);
          break;
        case 4:
          with_exponent(random() % 3 ? 0 : random() % 24);
          break;
        case 5:
          with_exponent(254 - random() % 20);
          break;
        case 6:
          bits = random() % 3 ? bits & 0x80000000u : bits;
          if (random() % 4 == 0)
            with_exponent(centre);
          else
            bits &= 0x80000000u;
          break;
        case 7:
          with_exponent(centre > 3 ? centre - random() % 3 : centre);
          bits |= 0x7FFFFFu & ~0u << (random() % 20);
          break;
        case 8: {
          const std::uint32_t code = random() % formats::max_finite_code(element);
          // The middle; under stochastic rounding what half a draw steps by.
          const std::uint32_t parts = 2u << std::min(spec.rounding.random_bits, 20);
          const double place = spec.rounding.stochastic() ? random() % parts / double(parts) : 0.5;
          const double low = formats::decode(element, code);
          const double between = low + (formats::decode(element, code + 1) - low) * place;
          bits = std::bit_cast<std::uint32_t>(static_cast<float>(
              scale * (j % 4 ? between * (random() % 2 ? 1 : -1) : formats::max_value(element))));
          break;
        }
        case 9: {  // at a border of the rules, most of all at the lowest scales
          const double border = std::ldexp(formats::max_value(element), lowest);
          bits = std::bit_cast<std::uint32_t>(static_cast<float>(border));
          if (j > 0) bits -= random() % bits;
          if (j == 0) bits += (random() % 5 - 2) * (spec.input.width() == 16 ? 0x10000u : 1u);
          break;
        }
        default:
          with_exponent(centre > 20 ? centre - random() % 20 : centre);
          if (random() % 40 == 0)
            bits = (bits & 0x80000000u) | 0x7F800000u | (random() % 2 ? 0x400000u : 0u);
          break;
      }
      float value = as_input(spec, bits);
      if (kind != 0 && kind < 10 && !std::isfinite(value)) value = 1.0f;
      values.push_back(value);
    }
  }
  return values;
}

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
    const std::string tried = line.substr(line.rfind(' ') + 1);
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
  for (const auto& [format, most] : {std::pair{"nf4", 3},
                                     {"nf4@bf16/8", 19},
                                     {"nf4@e4m3/8", 23},
                                     {"dynamic8@fp32/8", 2},
                                     {"binary@fp32/8", 29},
                                     {"e4m3@fp32/8", 24},
                                     {"dynamic8@e5m1:fn/8*fp32/4", 0}}) {
    const auto line = [&](const std::string& rounding) {
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
