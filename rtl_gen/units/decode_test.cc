// Decoders, for every code, against the value that formats gives it.
#include "rtl_gen/units/decode.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rtl_gen/ir/interpreter.h"

namespace blockdot::rtl_gen {
namespace {

using formats::parse_element;

TEST(DecodeElement, EveryCodeHasTheValueThatFormatsDecodes) {
  int checked = 0;
  for (const char* text : {"e4m3",        "e5m2",        "e3m2",        "e2m3",
                           "e2m1",        "e4m3:fnuz",   "e5m2:fnuz",   "e4m3:finite:bias=8",
                           "e2m5:bias=2", "e3m0:bias=4", "e1m2",        "e1m0",
                           "e3m4:ieee",   "e2m5:fn",     "int8",        "int8:full",
                           "int4",        "int2",        "int8:frac=0", "sm7",
                           "sm2",         "sm1",         "bf16",        "fp16"}) {
    const formats::ElementFormat f = parse_element(text);
    Graph g;
    const Element e = decode_element(g, f, input(g, "code_i", f.width()), "x");
    output("sign_o", e.sign);
    output("sig_o", e.significand);
    output("shift_o", e.shift);
    output("nan_o", e.nan);
    output("inf_o", e.inf);
    UnitInterpreter unit(g);
    for (std::uint32_t code = 0; code < (1u << f.width()); ++code) {
      if (f.kind == formats::ElementKind::kInteger && f.symmetric && code == 1u << (f.int_bits - 1))
        continue;
      unit.set_input(0, code);
      unit.step();
      const double want = formats::decode(f, code);
      ASSERT_EQ(unit.output(3)[0], std::isnan(want) ? 1u : 0u) << text << " " << code;
      ASSERT_EQ(unit.output(4)[0], std::isinf(want) ? 1u : 0u) << text << " " << code;
      if (std::isinf(want)) {
        ASSERT_EQ(unit.output(0)[0], std::signbit(want) ? 1u : 0u);
      }
      if (!std::isfinite(want)) {
        if (has_inf(f)) {
          ASSERT_EQ(unit.output(1)[0], 0u) << text << ": a special code adds nothing to the sum";
        }
        continue;
      }
      const double magnitude = std::ldexp(static_cast<double>(unit.output(1)[0]),
                                          static_cast<int>(unit.output(2)[0]) + e.weight);
      ASSERT_EQ(unit.output(0)[0] ? -magnitude : magnitude, want) << text << " " << code;
      ASSERT_LE(std::fabs(want),
                std::ldexp(static_cast<double>(e.max_magnitude), formats::lsb_exponent(f)));
      ++checked;
    }
  }
  EXPECT_GT(checked, 130000);
}

TEST(DecodeScale, EveryCodeHasTheValueThatFormatsDecodes) {
  int checked = 0;
  for (const char* text : {"e8m0", "e4m3", "e5m2", "bf16", "e5m3", "fp16"}) {
    const formats::ScaleFormat f = formats::parse_scale(text);
    Graph g;
    const Scale s = decode_scale(g, f, input(g, "code_i", f.width()), "x");
    output("sig_o", s.significand);
    output("shift_o", s.shift);
    output("not_finite_o", s.not_finite);
    output("zero_o", s.zero);
    UnitInterpreter unit(g);
    for (std::uint32_t code = 0; code < (1u << f.width()); ++code) {
      unit.set_input(0, code);
      unit.step();
      const double want = formats::decode(f, code);
      ASSERT_EQ(unit.output(2)[0], std::isfinite(want) ? 0u : 1u) << text << " " << code;
      ASSERT_EQ(unit.output(3)[0], want == 0 ? 1u : 0u);
      if (!std::isfinite(want)) continue;
      ASSERT_EQ(std::ldexp(static_cast<double>(unit.output(0)[0]),
                           static_cast<int>(unit.output(1)[0]) + s.weight),
                want)
          << text << " " << code;
      ++checked;
    }
  }
  EXPECT_GT(checked, 60000);
}

}  // namespace
}  // namespace blockdot::rtl_gen
