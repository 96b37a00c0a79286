// Rounding, exhaustively on small fixed-point numbers, against formats::encode; the random stream
// against formats::Lfsr.
#include "rtl_gen/units/round.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/lfsr.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/units/lfsr.h"

namespace blockdot::rtl_gen {
namespace {

using formats::ElementFormat;
using formats::Rounding;

// Every value of `width` bits times 2^lsb, and every draw.
int check_fixed(const ElementFormat& f, const Rounding& rounding, int width, int lsb) {
  Graph g;
  const Fx code = input(g, "x_i", width);
  const Fx x = scale(wrap_signed(code, width), lsb);
  const int r = rounding.random_bits;
  const Fx random = r > 0 ? input(g, "random_i", r) : constant(g, 0);
  const Fx none = constant(g, 0);
  const Rounded rounded = build_round_fixed(f, rounding, magnitude(x), random, "out");
  output("code_o", build_encode(f, rounding, sign(x), rounded, none, none, none, "out"));
  UnitInterpreter unit(g);
  int checked = 0;
  for (std::int64_t v = -(std::int64_t{1} << (width - 1)); v < std::int64_t{1} << (width - 1); ++v)
    for (std::uint32_t draw = 0; draw < (1u << r); ++draw) {
      unit.set_input(0, static_cast<std::uint64_t>(v));
      if (r > 0) unit.set_input(1, draw);
      unit.step();
      const std::uint32_t want = formats::encode(f, std::ldexp(static_cast<double>(v), lsb),
                                                 rounding, draw, formats::Overflow::kToSpecial);
      EXPECT_EQ(unit.output(0)[0], want) << to_text(f) << " " << to_text(rounding) << " " << v
                                         << " * 2^" << lsb << " draw " << draw;
      if (unit.output(0)[0] != want) return checked;
      ++checked;
    }
  return checked;
}

TEST(RoundFixed, EveryModeFormatAndPlaceMatchesEncode) {
  int checked = 0;
  for (const char* text :
       {"e4m3", "e5m2", "e3m2", "e2m1", "e3m0", "e4m3:finite", "e2m3:fn", "fp16"})
    for (const char* mode :
         {"rne", "rna", "rtz", "sr:1", "sr:3", "sr:5", "srf:2", "src:1", "src:3"})
      for (int lsb : {-24, -17, -12, -9, -4, -1, 0, 3, 8, 12})
        checked +=
            check_fixed(formats::parse_element(text), formats::parse_rounding(mode), 10, lsb);
  EXPECT_GT(checked, 3000000);
}

TEST(RoundFixed, WideNumbersGoToBinary32) {
  int checked = 0;
  for (const char* mode : {"rne", "rna", "rtz", "sr:4", "srf:4", "src:4"})
    for (int lsb : {-152, -149, -140, -3, 110, 120})
      checked +=
          check_fixed(formats::parse_element("fp32"), formats::parse_rounding(mode), 12, lsb);
  EXPECT_GT(checked, 400000);
}

TEST(Lfsr, DrawsTheStreamOfFormatsAndOnlyWhenAsked) {
  for (const auto& [text, r] : std::vector<std::pair<const char*, int>>{{"galois:32", 1},
                                                                        {"galois:32", 16},
                                                                        {"galois:32", 32},
                                                                        {"fibonacci:32:99", 31},
                                                                        {"fibonacci:17", 7},
                                                                        {"galois:64:5", 32},
                                                                        {"fibonacci:64", 12},
                                                                        {"galois:4", 4}}) {
    const formats::LfsrSpec spec = formats::parse_lfsr(text);
    Graph g;
    const Fx draw = input(g, "draw_i", 1);
    output("random_o", build_lfsr(g, spec, r, draw));
    UnitInterpreter unit(g);
    formats::Lfsr want(spec.seed, spec);
    const std::size_t draw_at = unit.input_index("draw_i"),
                      load_at = unit.input_index("seed_load_i"),
                      seed_at = unit.input_index("seed_i");
    std::uint32_t pattern = 0xB38F;
    for (int i = 0; i < 2000; ++i) {
      const bool take = (pattern >> (i % 16)) & 1;
      if (i % 300 == 250) {
        // A zero seed is read as 1.
        const std::uint64_t seed =
            i % 600 == 250 ? 0 : 0x9ABCDEF012345678u + static_cast<unsigned>(i);
        unit.set_input(draw_at, std::uint64_t{0});
        unit.set_input(load_at, 1);
        unit.set_input(seed_at, seed & spec.mask());
        unit.step();
        unit.set_input(load_at, std::uint64_t{0});
        want = formats::Lfsr(seed, spec);
      }
      unit.set_input(draw_at, take ? 1u : 0u);
      unit.step();
      if (take) {
        ASSERT_EQ(unit.output(0)[0], want.draw(r)) << text << ", " << r << " bits, draw " << i;
      }
    }
  }
}

}  // namespace
}  // namespace blockdot::rtl_gen
