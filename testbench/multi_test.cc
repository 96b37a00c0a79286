// Multi-format and fused units, Verilated, against models::golden_multi, models::GoldenMulti and
// models::golden_fused; and these models against the processor's fused multiply-add and
// whole-number arithmetic.
#include "models/multi.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>
#include <map>
#include <random>

#include "formats/error.h"
#include "models/golden.h"
#include "rtl_gen/generate.h"
#include "rtl_gen/testing/simulate.h"
#include "sim/cosim/lockstep.h"
#include "sim/cosim/model.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

using formats::ElementFormat;
using formats::ModeFormats;
using formats::MultiSpec;
using models::Exact;

struct Vector {
  int mode = 0;
  std::vector<std::uint32_t> a, b;
  std::uint32_t c = 0;
};

MultiSpec multi_spec(const char* modes, const char* lanes, const char* addend,
                     const char* rounding = "", const char* lfsr = "") {
  formats::DotSpecText text;
  text.lanes = lanes;
  text.rounding = rounding;
  text.lfsr = lfsr;
  return formats::resolve_multi(modes, addend, text);
}

rtl_gen::Arch combinational(const char* technology, const char* structure = "") {
  rtl_gen::Arch arch;
  arch.combinational = true;
  arch.technology = rtl_gen::parse_technology(technology);
  arch.structure = rtl_gen::parse_structure(structure);
  return arch;
}

const ModeFormats& mode_of(const MultiSpec& spec, const Vector& v) {
  return spec.modes[static_cast<std::size_t>(v.mode)];
}

// The operands of a beat into a record that is clear.
void put_operands(std::uint8_t* record, const sim::Model& model, const MultiSpec& spec,
                  const Vector& v) {
  const ModeFormats& m = mode_of(spec, v);
  const int terms = spec.terms(m);
  const auto put = [&](const char* port, const std::vector<std::uint32_t>& codes, int width,
                       int slot) {
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const int lane = static_cast<int>(i) / terms, term = static_cast<int>(i) % terms;
      sim::put_bits(record, model.input(port), lane * slot + term * width, width, codes[i]);
    }
  };
  put("a_i", v.a, m.a.width(), spec.slot_a());
  put("b_i", v.b, m.b.width(), spec.slot_b());
  if (model.has_input("mode_i"))
    sim::set_field(record, model.input("mode_i"), static_cast<std::uint64_t>(v.mode));
}

// A Verilated combinational unit beside its model. One that draws random bits has a register of
// them: it starts with a reset, and takes a bubble now and then.
class MultiUnit {
 public:
  MultiUnit(const MultiSpec& spec, const rtl_gen::Arch& arch)
      : spec_(spec),
        unit_(rtl_gen::generate(spec, arch)),
        model_(sim::Model::load(sim::model_source(unit_))) {}

  // Values checked; the first difference fails the test.
  std::int64_t check(const std::vector<Vector>& vectors) {
    const bool draws = spec_.rounding.stochastic();
    std::vector<std::size_t> cycle_of;  // of a vector
    std::size_t cycles = 0;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      if (draws && i % 7 == 0) ++cycles;  // first the reset, then bubbles
      cycle_of.push_back(cycles++);
    }
    std::vector<std::uint8_t> in(cycles * model_.input_bytes(), 0);
    std::vector<std::uint8_t> out(cycles * model_.output_bytes(), 0);
    for (std::size_t i = 1; draws && i < cycles; ++i)
      sim::set_field(in.data() + i * model_.input_bytes(), model_.input("rst_ni"), 1);
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      const Vector& v = vectors[i];
      std::uint8_t* record = in.data() + cycle_of[i] * model_.input_bytes();
      if (draws) sim::set_field(record, model_.input("valid_i"), 1);
      put_operands(record, model_, spec_, v);
      if (spec_.addend) sim::set_field(record, model_.input("c_i"), v.c);
    }
    sim::Model::Instance instance(model_);
    instance.run(static_cast<std::int64_t>(cycles), in.data(), out.data());
    formats::Lfsr random(spec_.lfsr.seed, spec_.lfsr);
    std::int64_t checked = 0;
    for (std::size_t i = 0; i < vectors.size(); ++i) {
      const std::string wrong =
          compare(vectors[i], draws ? random.draw(spec_.rounding.random_bits) : 0,
                  out.data() + cycle_of[i] * model_.output_bytes());
      if (!wrong.empty()) {
        const Vector& v = vectors[i];
        ADD_FAILURE() << fmt::format("{}: vector {}, mode {} a=[{:#x}] b=[{:#x}] c={:#x}: {}",
                                     to_text(spec_), i, v.mode, fmt::join(v.a, " "),
                                     fmt::join(v.b, " "), v.c, wrong);
        return checked;
      }
      ++checked;
    }
    return checked;
  }

  const rtl_gen::Unit& unit() const { return unit_; }

 private:
  std::string compare(const Vector& v, std::uint32_t random, const std::uint8_t* record) const {
    if (spec_.addend) {
      const std::uint32_t golden = models::golden_fused(spec_, v.mode, v.a, v.b, v.c, random);
      const sim::ModelField field = model_.output("result_o");
      const std::uint64_t got = sim::get_bits(record, field, 0, field.width);
      return got == golden ? "" : fmt::format("result {:#x}, golden {:#x}", got, golden);
    }
    const models::MultiSum golden = models::golden_multi(spec_, v.mode, v.a, v.b);
    bool has_nan = false;
    for (const rtl_gen::Port& port : unit_.report.ports) has_nan |= port.name == "nan_o";
    const bool nan = has_nan && sim::get_bits(record, model_.output("nan_o"), 0, 1) != 0;
    if (nan != golden.special) return fmt::format("nan_o {}", nan);
    if (nan) return "";
    const sim::ModelField field = model_.output("sum_o");
    Exact::Integer value = 0;
    for (int lo = (field.width - 1) / 32 * 32; lo >= 0; lo -= 32)
      value = (value << 32) | sim::get_bits(record, field, lo, std::min(32, field.width - lo));
    const Exact::Integer top = Exact::Integer(1) << static_cast<unsigned>(field.width - 1);
    if (value >= top) value -= 2 * top;
    const Exact sum(value, unit_.report.sum_lsb);
    return sum == golden.sum ? "" : "sum " + sum.text() + ", golden " + golden.sum.text();
  }

  MultiSpec spec_;
  rtl_gen::Unit unit_;
  sim::Model model_;
};

// ---- Stimulus ----

std::uint32_t random_code(std::mt19937_64& random, const ElementFormat& f, bool finite) {
  for (;;) {
    const auto code = static_cast<std::uint32_t>(random() & ((1u << f.width()) - 1));
    if (!finite || std::isfinite(decode(f, code))) return code;
  }
}

// A c that stands where it hurts: near the products' sum, in front of or behind it, at its ties.
std::uint32_t random_addend(std::mt19937_64& random, const ElementFormat& f, const Exact& sum) {
  const auto any = static_cast<std::uint32_t>(random() & ((std::uint64_t{1} << f.width()) - 1));
  const std::uint32_t sign = 1u << (f.width() - 1);
  if (sum.is_zero() || random() % 4 == 0) return any;
  const int man = f.man_bits;
  if (random() % 4 == 0) {
    // Minus the sum, rounded, and a few steps aside: all of it cancels, or nearly.
    const std::uint32_t near = models::golden_round(f, -sum, {}, 0, formats::Overflow::kToSpecial);
    return static_cast<std::uint32_t>(near + random() % 5) - 2;
  }
  // Any place from far below to far above the sum; with few or many ones in its significand.
  const int exponent = sum.floor_log2() + static_cast<int>(random() % 120) - 60 + f.bias;
  const std::uint32_t ones = (1u << man) - 1;
  const std::uint32_t patterns[] = {0,  ones,     static_cast<std::uint32_t>(random()) & ones,
                                    1u, ones - 1, 1u << (man - 1)};
  return (any & sign) | static_cast<std::uint32_t>(exponent & ((1 << f.exp_bits) - 1)) << man |
         patterns[random() % 6];
}

std::vector<Vector> random_vectors(const MultiSpec& spec, int count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Vector> vectors;
  for (int i = 0; i < count; ++i) {
    Vector v;
    v.mode = static_cast<int>(random() % spec.modes.size());
    const ModeFormats& m = mode_of(spec, v);
    const auto terms = static_cast<std::size_t>(spec.lanes * spec.terms(m));
    const bool finite = random() % 8 != 0;
    const auto zeros = random() % 4;  // of few terms, single exponents stand out
    for (std::size_t j = 0; j < terms; ++j) {
      const bool zero = random() % 4 < zeros;
      v.a.push_back(zero ? 0 : random_code(random, m.a, finite));
      v.b.push_back(random_code(random, m.b, finite));
    }
    // Products that cancel: a lane is the negative of the one before.
    if (terms > 1 && random() % 4 == 0)
      for (std::size_t j = 1; j < terms; j += 2) {
        v.a[j] = v.a[j - 1] ^ 1u << (m.a.width() - 1);
        v.b[j] = v.b[j - 1];
      }
    if (spec.addend)
      v.c = random_addend(random, *spec.addend, models::golden_multi(spec, v.mode, v.a, v.b).sum);
    vectors.push_back(v);
  }
  return vectors;
}

// Every pair of codes in lane 0 (term 0), the others zero; by mode.
std::vector<Vector> every_pair(const MultiSpec& spec, int mode) {
  std::vector<Vector> vectors;
  std::mt19937_64 random(7);
  Vector v;
  v.mode = mode;
  const ModeFormats& m = mode_of(spec, v);
  const auto terms = static_cast<std::size_t>(spec.lanes * spec.terms(m));
  for (std::uint32_t a = 0; a < 1u << m.a.width(); ++a)
    for (std::uint32_t b = 0; b < 1u << m.b.width(); ++b) {
      const std::size_t at = (a + b) % terms;  // in every lane by turns
      v.a.assign(terms, 0);
      v.b.assign(terms, 0);
      v.a[at] = a;
      v.b[at] = b;
      if (spec.addend)
        v.c = random_addend(random, *spec.addend, models::golden_multi(spec, mode, v.a, v.b).sum);
      vectors.push_back(v);
    }
  return vectors;
}

// ---- The model against others ----

struct Accumulated {
  const char *modes, *lanes, *accumulator, *output = "", *rounding = "", *max_k = "", *lfsr = "";
  const char *technology = "generic", *structure = "";
};

void PrintTo(const Accumulated& a, std::ostream* out) { *out << a.modes << " " << a.accumulator; }

MultiSpec accumulating(const Accumulated& a) {
  formats::DotSpecText text;
  text.lanes = a.lanes;
  text.accumulator = a.accumulator;
  text.output = a.output;
  text.rounding = a.rounding;
  text.max_k = a.max_k;
  text.lfsr = a.lfsr;
  return formats::resolve_multi(a.modes, "", text);
}

// The binary32 of n * 2^-149 by this mode, by whole numbers alone.
std::uint32_t binary32_of(const Exact::Integer& n, formats::RoundingMode mode) {
  if (n == 0) return 0;
  const std::uint32_t sign = n < 0 ? 0x80000000u : 0;
  const Exact::Integer m = abs(n);
  const int shift = std::max(0, static_cast<int>(msb(m)) - 23);
  Exact::Integer kept = m >> static_cast<unsigned>(shift);
  const Exact::Integer rest = m - (kept << static_cast<unsigned>(shift));
  if (shift > 0) {
    const Exact::Integer half = Exact::Integer(1) << static_cast<unsigned>(shift - 1);
    const bool tie_up = mode == formats::RoundingMode::kRna || kept % 2 == 1;
    const bool nearest = mode != formats::RoundingMode::kRtz;
    if (nearest && (rest > half || (rest == half && tie_up))) ++kept;
  }
  // `kept` brings its hidden one into the exponent, a carry too.
  const auto code = static_cast<std::uint64_t>(kept) + (static_cast<std::uint64_t>(shift) << 23);
  return sign | static_cast<std::uint32_t>(code);
}

// With the processor's rounding set; `volatile` keeps the operation between the two calls.
float fma_by(int rounding, float x, float y, float z) {
  volatile float a = x, b = y, c = z;
  std::fesetround(rounding);
  volatile float result = std::fma(a, b, c);
  std::fesetround(FE_TONEAREST);
  return result;
}

class FusedModel : public ::testing::TestWithParam<std::pair<const char*, int>> {};
INSTANTIATE_TEST_SUITE_P(Modes, FusedModel,
                         ::testing::Values(std::pair{"rne", FE_TONEAREST},
                                           std::pair{"rtz", FE_TOWARDZERO}),
                         [](const auto& p) { return std::string(p.param.first); });

TEST_P(FusedModel, OfOneProductIsTheProcessorsFma) {
  const MultiSpec spec = multi_spec("e4m3,e5m2,e4m3xe5m2", "1", "fp32", GetParam().first);
  std::int64_t checked = 0;
  for (int mode = 0; mode < 3; ++mode)
    for (const Vector& v : every_pair(spec, mode)) {
      const ModeFormats& m = mode_of(spec, v);
      const float want = fma_by(GetParam().second, static_cast<float>(decode(m.a, v.a[0])),
                                static_cast<float>(decode(m.b, v.b[0])), std::bit_cast<float>(v.c));
      const std::uint32_t got = models::golden_fused(spec, mode, v.a, v.b, v.c);
      if (std::isnan(want)) {
        ASSERT_EQ(got, 0x7fc00000u);
      } else if (want == 0) {
        ASSERT_EQ(got, 0u);  // the contract's zero has no sign
      } else {
        ASSERT_EQ(got, std::bit_cast<std::uint32_t>(want)) << v.a[0] << " " << v.b[0] << " " << v.c;
      }
      ++checked;
    }
  EXPECT_EQ(checked, 3 * 65536);
}

class FusedModelOfMany : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Modes, FusedModelOfMany, ::testing::Values("rne", "rna", "rtz"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(FusedModelOfMany, IsTheirWholeNumberSumRounded) {
  const MultiSpec spec = multi_spec("e4m3,e5m2,e2m1", "8", "fp32", GetParam());
  std::int64_t checked = 0;
  for (const Vector& v : random_vectors(spec, 20000, 11)) {
    const ModeFormats& m = mode_of(spec, v);
    const auto whole = [](double x, int lsb) {  // x * 2^-lsb
      return Exact::Integer(static_cast<std::int64_t>(std::ldexp(x, -lsb)));
    };
    const float c = std::bit_cast<float>(v.c);
    bool finite = std::isfinite(c);
    Exact::Integer sum = 0;
    for (std::size_t j = 0; j < v.a.size(); ++j) {
      const double x = decode(m.a, v.a[j]), y = decode(m.b, v.b[j]);
      finite = finite && std::isfinite(x) && std::isfinite(y);
      if (finite) sum += (whole(x, -16) * whole(y, -16)) << (149 - 32);
    }
    if (!finite) continue;
    int exponent = 0;
    const double fraction = std::frexp(static_cast<double>(c), &exponent);
    const Exact::Integer significand(static_cast<std::int64_t>(std::ldexp(fraction, 24)));
    const int place = exponent - 24 + 149;  // below zero only for subnormals' zeros
    sum += place >= 0
               ? Exact::Integer(significand << static_cast<unsigned>(place))
               : Exact::Integer(significand / (Exact::Integer(1) << static_cast<unsigned>(-place)));
    ASSERT_EQ(models::golden_fused(spec, v.mode, v.a, v.b, v.c),
              binary32_of(sum, spec.rounding.mode));
    ++checked;
  }
  EXPECT_GT(checked, 10000);
}

// Of one product a beat, in modes by turns: each step is one fused multiply-add.
TEST_P(FusedModel, OfABinary32AccumulatorIsTheProcessorsFmaBeatByBeat) {
  const MultiSpec spec = accumulating({"e4m3,e5m2,e4m3xe5m2", "1", "fp32", "", GetParam().first});
  models::GoldenMulti golden(spec);
  float want = 0;
  std::int64_t checked = 0;
  bool first = true;
  for (const Vector& v : random_vectors(spec, 100000, 17)) {
    const ModeFormats& m = mode_of(spec, v);
    want = fma_by(GetParam().second, static_cast<float>(decode(m.a, v.a[0])),
                  static_cast<float>(decode(m.b, v.b[0])), first ? 0.0F : want);
    const std::uint32_t got = golden.step(v.mode, v.a, v.b, first, true).value();
    const std::uint32_t code = std::isnan(want) ? 0x7fc00000U
                               : want == 0      ? 0
                                                : std::bit_cast<std::uint32_t>(want);
    ASSERT_EQ(got, code) << checked;
    first = ++checked % 13 == 0 || !std::isfinite(want);
  }
  EXPECT_EQ(checked, 100000);
}

// An element as a whole number of 2^-16, which every one of these formats is.
std::int64_t small_units(const ElementFormat& f, std::uint32_t code) {
  return static_cast<std::int64_t>(std::ldexp(decode(f, code), 16));
}

TEST_P(FusedModelOfMany, BeatsInAKulischAccumulatorAreTheirWholeNumberSumRounded) {
  const MultiSpec spec = accumulating({"e4m3,e5m2,e2m1", "4", "kulisch", "fp32", GetParam()});
  models::GoldenMulti golden(spec);
  std::mt19937_64 random(19);
  std::int64_t checked = 0;
  Exact::Integer sum = 0;
  bool first = true, finite = true;
  for (const Vector& v : random_vectors(spec, 40000, 23)) {
    const ModeFormats& m = mode_of(spec, v);
    const bool last = random() % 4 == 0;
    if (first) {
      sum = 0;
      finite = true;
    }
    for (std::size_t j = 0; j < v.a.size(); ++j) {
      finite = finite && std::isfinite(decode(m.a, v.a[j])) && std::isfinite(decode(m.b, v.b[j]));
      if (finite)
        sum += Exact::Integer(small_units(m.a, v.a[j])) * small_units(m.b, v.b[j]) *
               (Exact::Integer(1) << (149 - 32));
    }
    const auto got = golden.step(v.mode, v.a, v.b, first, last);
    first = last;
    if (!last || !finite) continue;
    ASSERT_EQ(got, binary32_of(sum, spec.accumulation->rounding.mode)) << checked;
    ++checked;
  }
  EXPECT_GT(checked, 5000);
}

// A finite minifloat code: significand * 2^(exponent - man_bits).
struct Fields {
  std::int64_t significand;
  int exponent;
};

Fields fields_of(const ElementFormat& f, std::uint32_t code) {
  const auto fraction = static_cast<std::int64_t>(code & ((1u << f.man_bits) - 1));
  const int field = static_cast<int>(code >> f.man_bits & ((1u << f.exp_bits) - 1));
  const std::int64_t hidden = field > 0 ? std::int64_t{1} << f.man_bits : 0;
  return {code >> (f.width() - 1) != 0 ? -(hidden | fraction) : hidden | fraction,
          std::max(field, 1) - f.bias};
}

// By shifts of whole numbers, from the fields of the codes alone: of two terms a lane each has its
// own exponent, and so has each mode.
TEST_P(FusedModelOfMany, BeatsInAnAlignedAccumulatorAreTheirTermsShiftedAndRounded) {
  constexpr int kKept = 9;
  const MultiSpec spec =
      accumulating({"e4m3,e5m2xe4m3,e2m1", "4", "aligned[9]:fp32", "", GetParam()});
  models::GoldenMulti golden(spec);
  const ElementFormat binary32 = formats::minifloat(8, 23);
  std::mt19937_64 random(37);
  std::int64_t checked = 0, of_accumulator = 0;
  std::uint32_t held = 0;
  bool first = true, finite = true;
  for (const Vector& v : random_vectors(spec, 60000, 41)) {
    const ModeFormats& m = mode_of(spec, v);
    if (first) held = 0;
    std::vector<Fields> terms = {fields_of(binary32, held)};
    std::vector<int> fractions = {23};
    for (std::size_t j = 0; j < v.a.size(); ++j) {
      finite = finite && std::isfinite(decode(m.a, v.a[j])) && std::isfinite(decode(m.b, v.b[j]));
      const Fields x = fields_of(m.a, v.a[j]), y = fields_of(m.b, v.b[j]);
      terms.push_back({x.significand * y.significand, x.exponent + y.exponent});
      fractions.push_back(m.a.man_bits + m.b.man_bits);
    }
    int top = -1000;
    for (const Fields& t : terms)
      if (t.significand != 0) top = std::max(top, t.exponent);
    std::int64_t sum = 0;  // in units of 2^(top - kKept)
    for (std::size_t i = 0; i < terms.size(); ++i) {
      const auto& [significand, exponent] = terms[i];
      if (significand == 0) continue;
      const int up = kKept - fractions[i] - (top - exponent);
      const std::int64_t magnitude = std::abs(significand);
      const std::int64_t cut = up >= 0 ? magnitude << up : up > -63 ? magnitude >> -up : 0;
      sum += significand < 0 ? -cut : cut;
    }
    of_accumulator += finite && terms[0].significand != 0 && terms[0].exponent == top;
    const auto got = golden.step(v.mode, v.a, v.b, first, true);
    if (finite) {
      held = sum == 0 ? 0
                      : binary32_of(Exact::Integer(sum) << static_cast<unsigned>(149 + top - kKept),
                                    spec.accumulation->accumulator.rounding.mode);
      ASSERT_EQ(got, held) << checked;
      ++checked;
    }
    first = random() % 12 == 0 || !finite;
    finite = finite || first;
  }
  EXPECT_GT(checked, 30000);
  EXPECT_GT(of_accumulator, 3000) << "the accumulator is the largest term";
}

// ---- The units against the model ----

struct Built {
  const char* technology;
  const char* structure;
  const char* modes;
  const char* lanes;
  const char* addend;
};

class MultiUnits : public ::testing::TestWithParam<Built> {};
INSTANTIATE_TEST_SUITE_P(
    Every, MultiUnits,
    ::testing::Values(Built{"generic", "", "e4m3,e5m2", "8", "fp32"},
                      Built{"osu018", "", "e4m3,e5m2", "8", "fp32"},
                      Built{"xilinx", "", "e4m3,e5m2", "8", "fp32"},
                      Built{"generic", "", "e4m3,e5m2,e2m3,e3m2,e2m1", "4", "fp32"},
                      Built{"osu018", "", "e4m3,e5m2,e2m3,e3m2,e2m1", "4", "bf16"},
                      Built{"generic", "", "e4m3,e5m2,e2m3,e3m2,e2m1", "4", ""},
                      Built{"osu018", "", "e4m3,e5m2,e2m3,e3m2,e2m1", "8", ""},
                      Built{"xilinx", "", "e4m3,e5m2,e2m3,e3m2,e2m1", "8", ""},
                      Built{"generic", "", "e4m3,e4m3xe2m1,e5m2xe4m3", "3", ""},
                      Built{"generic", "", "e4m3", "1", "fp32"},
                      Built{"generic", "", "e2m1,e3m0,e4m3:ieee", "2", "bf16"}),
    [](const auto& p) {
      return as_name(fmt::format("{}_{}_{}_lanes{}_{}", p.param.technology, p.param.structure,
                                 p.param.modes, p.param.lanes, p.param.addend));
    });

TEST_P(MultiUnits, GiveTheGoldenResultInEveryModeForEveryPairAndForRandomBeats) {
  const Built& built = GetParam();
  const MultiSpec spec = multi_spec(built.modes, built.lanes, built.addend);
  MultiUnit unit(spec, combinational(built.technology, built.structure));
  for (int mode = 0; mode < static_cast<int>(spec.modes.size()); ++mode) {
    const std::vector<Vector> pairs = every_pair(spec, mode);
    EXPECT_EQ(unit.check(pairs), static_cast<std::int64_t>(pairs.size()));
  }
  const std::vector<Vector> vectors = random_vectors(spec, 40000, 3);
  EXPECT_EQ(unit.check(vectors), 40000);
}

// ---- Units with an accumulator ----

class AccumulatingUnits : public ::testing::TestWithParam<Accumulated> {};
// Every kind of accumulator and every rounding, where it is the output's and where it is the
// accumulator's; overflow to Inf, to NaN and to neither; a stream without its port.
INSTANTIATE_TEST_SUITE_P(
    Every, AccumulatingUnits,
    ::testing::Values(
        Accumulated{"e4m3,e5m2,e2m1", "4", "kulisch"},
        Accumulated{"e4m3,e5m2,e2m1", "2", "kulisch", "bf16", "rna", "64"},
        Accumulated{"e5m2,e3m2xe4m3", "2", "kulisch", "fp16", "rtz", "40"},
        Accumulated{"e2m1,e2m3", "3", "kulisch", "e4m3", "sr:3", "99", "fibonacci:24:77:no-port"},
        Accumulated{"e4m3,e5m2", "2", "kulisch", "", "", "", "", "osu018",
                    "accumulator=segmented:12"},
        Accumulated{"e4m3,e5m2,e2m1", "2", "kulisch[20:-8]", "bf16"},
        Accumulated{"e4m3,e2m1", "2", "kulisch[12:-6]:wrap:sticky", "fp16", "src:4"},
        Accumulated{"e4m3,e2m1", "2", "kulisch[26:-18]:exact", "", "", "256"},
        Accumulated{"e4m3,e5m2,e2m1", "4", "fp32"},
        Accumulated{"e4m3,e5m2", "2", "bf16:rna", "bf16"},
        Accumulated{"e5m2,e2m1", "2", "fp16:rtz", "bf16", "srf:5"},
        Accumulated{"e5m2,e4m3,e2m1", "2", "fp16", "fp16"},
        Accumulated{"e4m3,e5m2xe4m3", "2", "bf16:sr:4", "fp32", "rne", "", "", "xilinx"},
        Accumulated{"e4m3,e2m1", "2", "bf16:src:6", "bf16", "", "", "", "generic",
                    "rounding=eager"},
        Accumulated{"e4m3,e2m1", "2", "e4m3:rne", "e5m2"},
        Accumulated{"e4m3,e5m2,e2m1", "4", "aligned[13]:fp32"},
        Accumulated{"e5m2,e4m3,e2m1", "3", "aligned[0]:fp16:rne", "fp16"},
        Accumulated{"e4m3,e5m2,e2m3,e3m2,e2m1", "2", "aligned[25]:fp32:rna", "bf16", "rne", "", "",
                    "osu018"},
        Accumulated{"e7m0,e1m2,e2m1", "2", "aligned[3]:bf16", "bf16", "", "", "", "xilinx"},
        Accumulated{"e4m3xe2m1,e5m2xe4m3,e2m1", "2", "aligned[7]:bf16:sr:6", "bf16", "", "",
                    "fibonacci:24:77:no-port"},
        Accumulated{"e5m2", "1", "aligned[4]:e4m3:rne", "e5m2", "sr:3"}),
    [](const auto& p) {
      return as_name(fmt::format("{}_lanes{}_{}_{}_{}", p.param.modes, p.param.lanes,
                                 p.param.accumulator, p.param.output, p.param.rounding));
    });

// A beat of the largest products of a mode, all of one sign, so that sums reach their bounds.
Vector largest(const MultiSpec& spec, int mode, bool negative) {
  Vector v;
  v.mode = mode;
  const ModeFormats& m = mode_of(spec, v);
  const auto terms = static_cast<std::size_t>(spec.lanes * spec.terms(m));
  v.a.assign(terms, max_finite_code(m.a) | (negative ? 1U << (m.a.width() - 1) : 0));
  v.b.assign(terms, max_finite_code(m.b));
  return v;
}

struct ModeCycle {
  Vector beat;
  bool valid, first, last;
};

// Results of one beat to as many as max_k allows, a mode for every beat, pauses between them in
// which all ports move.
std::vector<ModeCycle> pipeline_cycles(const MultiSpec& spec, int count) {
  const std::int64_t most =
      spec.accumulation
          ? std::clamp<std::int64_t>(spec.accumulation->max_k / spec.most_products(), 1, 12)
          : 1;
  std::mt19937_64 random(29);
  std::vector<ModeCycle> cycles;
  const std::vector<Vector> beats = random_vectors(spec, count, 31);
  for (std::size_t i = 0; i < beats.size();) {
    const auto modes = static_cast<int>(spec.modes.size());
    const auto length = 1 + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(most));
    const bool bound = random() % 16 == 0, negative = random() % 2 == 0;
    const int loudest = static_cast<int>(random() % static_cast<unsigned>(modes));
    for (std::int64_t t = 0; t < length && i < beats.size(); ++t, ++i) {
      while (random() % 5 == 0)
        cycles.push_back(
            {beats[random() % beats.size()], false, random() % 2 == 0, random() % 2 == 0});
      Vector beat = beats[i];
      if (bound) {
        const std::uint32_t c = beat.c;
        beat = largest(spec, loudest, negative);
        beat.c = c;
      }
      cycles.push_back({beat, true, t == 0, t + 1 == length || i + 1 == beats.size()});
    }
  }
  return cycles;
}

std::vector<std::optional<std::uint32_t>> golden_results(const MultiSpec& spec,
                                                         const std::vector<ModeCycle>& cycles) {
  std::vector<std::optional<std::uint32_t>> results(cycles.size());
  std::optional<models::GoldenMulti> golden;
  if (spec.accumulation) golden.emplace(spec);
  formats::Lfsr random(spec.lfsr.seed, spec.lfsr);
  for (std::size_t c = 0; c < cycles.size(); ++c) {
    const auto& [beat, valid, first, last] = cycles[c];
    if (!valid) continue;
    if (golden) {
      results[c] = golden->step(beat.mode, beat.a, beat.b, first, last);
    } else {
      const std::uint32_t bits =
          spec.rounding.stochastic() ? random.draw(spec.rounding.random_bits) : 0;
      results[c] = models::golden_fused(spec, beat.mode, beat.a, beat.b, beat.c, bits);
    }
  }
  return results;
}

// Units of the same modes and lanes, Verilated together: valid_o and result_o in every cycle.
// Results checked; the first difference of a unit fails the test.
std::int64_t check_pipelines(const std::vector<std::pair<MultiSpec, rtl_gen::Unit>>& members,
                             const std::vector<ModeCycle>& cycles) {
  std::vector<Part> parts;
  int drain = 0;
  for (const auto& [spec, unit] : members) {
    parts.push_back({unit.report.top, unit.verilog, unit.report.ports});
    drain = std::max(drain, unit.report.latency);
  }
  const sim::Model model = sim::Model::load(together(parts));
  constexpr std::size_t kReset = 2;
  const std::size_t total = kReset + cycles.size() + static_cast<std::size_t>(drain);
  std::vector<std::uint8_t> in(total * model.input_bytes(), 0);
  std::vector<std::uint8_t> out(total * model.output_bytes(), 0);
  const MultiSpec& shared = members.front().first;
  for (std::size_t c = kReset; c < total; ++c)
    sim::set_field(in.data() + c * model.input_bytes(), model.input("rst_ni"), 1);
  for (std::size_t c = 0; c < cycles.size(); ++c) {
    std::uint8_t* record = in.data() + (kReset + c) * model.input_bytes();
    sim::set_field(record, model.input("valid_i"), cycles[c].valid);
    put_operands(record, model, shared, cycles[c].beat);
    if (shared.addend) {
      sim::set_field(record, model.input("c_i"), cycles[c].beat.c);
    } else {
      sim::set_field(record, model.input("first_i"), cycles[c].first);
      sim::set_field(record, model.input("last_i"), cycles[c].last);
    }
  }
  sim::Model::Instance(model).run(static_cast<std::int64_t>(total), in.data(), out.data());
  std::int64_t checked = 0;
  std::vector<std::optional<std::uint32_t>> golden;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& [spec, unit] = members[i];
    if (i == 0 || !(spec == members[i - 1].first)) golden = golden_results(spec, cycles);
    const sim::ModelField valid = model.output(unit.report.top + "_valid_o");
    const sim::ModelField result = model.output(unit.report.top + "_result_o");
    for (std::size_t c = 0; c < cycles.size(); ++c) {
      const std::size_t at = kReset + c + static_cast<std::size_t>(unit.report.latency);
      const std::uint8_t* record = out.data() + at * model.output_bytes();
      const bool some = sim::get_bits(record, valid, 0, 1) != 0;
      const std::uint64_t code = sim::get_bits(record, result, 0, result.width);
      if (some != golden[c].has_value() || (some && code != *golden[c])) {
        ADD_FAILURE() << fmt::format(
            "{} {}: cycle {}, mode {}: valid_o {}, result {:#x}, golden {}", to_text(spec),
            unit.report.arch_text, c, cycles[c].beat.mode, some, code,
            golden[c] ? fmt::format("{:#x}", *golden[c]) : "none");
        break;
      }
      checked += some;
    }
  }
  return checked;
}

std::pair<MultiSpec, rtl_gen::Unit> pipelined(const MultiSpec& spec, const char* schedule,
                                              const char* technology, const char* structure,
                                              const std::string& top) {
  rtl_gen::Arch arch;
  arch.technology = rtl_gen::parse_technology(technology);
  arch.structure = rtl_gen::parse_structure(structure);
  arch.schedule = rtl_gen::parse_schedule_kind(schedule);
  arch.schedule_seed = 7;
  return {spec, rtl_gen::generate(spec, arch, top)};
}

const char* const kSchedules[] = {"asap", "min-register", "random"};

TEST_P(AccumulatingUnits, GiveTheGoldenResultInItsCycleUnderEverySchedule) {
  const MultiSpec spec = accumulating(GetParam());
  std::vector<std::pair<MultiSpec, rtl_gen::Unit>> members;
  for (const char* schedule : kSchedules)
    members.push_back(pipelined(spec, schedule, GetParam().technology, GetParam().structure,
                                fmt::format("u{}", members.size())));
  EXPECT_GT(check_pipelines(members, pipeline_cycles(spec, 12000)), 3 * 900);
}

// ---- Modes x accumulator or addend x rounding x schedule ----

struct ModeBatch {
  const char *modes, *lanes, *accumulator, *addend;
};

std::vector<ModeBatch> mode_batches() {
  std::vector<ModeBatch> all;
  std::size_t number = 0;
  // Every mode that a unit takes, alone and beside others.
  for (const auto& [modes, lanes] : std::initializer_list<std::pair<const char*, const char*>>{
           {"e4m3", "3"},
           {"e5m2", "2"},
           {"e3m2", "4"},
           {"e2m3", "4"},
           {"e2m1", "4"},
           {"e4m3,e5m2", "2"},
           {"e4m3xe2m1,e5m2xe4m3", "2"},
           {"e4m3:ieee,e3m4,e2m5", "2"},
           {"e4m3,e5m2,e2m3,e3m2,e2m1", "2"}}) {
    for (const char* accumulator : {"kulisch", "kulisch[12:-8]:saturate", "kulisch[10:-6]:wrap",
                                    "kulisch[14:-5]:saturate:sticky", "fp32", "bf16", "fp16",
                                    "aligned[13]:fp32", "aligned[4]:bf16", "aligned[0]:fp16"})
      if (number++ % static_cast<std::size_t>(every_nth(7)) == 0)
        all.push_back({modes, lanes, accumulator, ""});
    for (const char* addend : {"fp32", "bf16"})
      if (number++ % static_cast<std::size_t>(every_nth(7)) == 0)
        all.push_back({modes, lanes, "", addend});
  }
  return all;
}

// Of an accumulator: what comes after aligned[W].
const char* float_of(const char* accumulator) {
  const char* format = std::strstr(accumulator, "]:");
  return format == nullptr ? accumulator : format + 2;
}

class ModeProduct : public ::testing::TestWithParam<ModeBatch> {};
INSTANTIATE_TEST_SUITE_P(Multi, ModeProduct, ::testing::ValuesIn(mode_batches()),
                         [](const auto& p) {
                           const bool fused = p.param.addend[0] != '\0';
                           return as_name(fmt::format("{}_{}{}", p.param.modes,
                                                      fused ? "plus_" : p.param.accumulator,
                                                      p.param.addend));
                         });

TEST_P(ModeProduct, OfRoundingAndScheduleGivesTheGoldenResults) {
  const auto& [modes, lanes, accumulator, addend] = GetParam();
  const bool is_float = !std::string_view(accumulator).starts_with("kulisch");
  const char* const outputs[] = {"fp32", "bf16", "fp16", "e5m2"};
  const char* const technologies[] = {"generic", "osu018", "xilinx"};
  std::vector<std::pair<MultiSpec, rtl_gen::Unit>> members;
  std::size_t turn = static_cast<std::size_t>(accumulator[0]) + std::string_view(modes).size();
  for (const char* rounding : {"rne", "rna", "rtz", "sr:11", "sr:32", "srf:7", "src:1"}) {
    MultiSpec spec;
    if (*addend != 0) {
      spec = multi_spec(modes, lanes, addend, rounding);
    } else {
      // A float accumulator's own rounding; then the output is its format.
      const std::string text = is_float ? fmt::format("{}:{}", accumulator, rounding) : accumulator;
      spec = accumulating({modes, lanes, text.c_str(),
                           is_float ? float_of(accumulator) : outputs[turn % 4],
                           is_float ? "" : rounding, "64"});
    }
    for (const char* schedule : kSchedules)
      members.push_back(pipelined(spec, schedule, technologies[turn % 3], "",
                                  fmt::format("u{}", members.size())));
    ++turn;
  }
  const std::vector<ModeCycle> cycles = pipeline_cycles(members.front().first, 4000);
  EXPECT_GT(check_pipelines(members, cycles), 21 * 300) << "vacuous";
}

// The register's width is derived from the graph's ranges; exact_window from the formats alone.
TEST(AccumulatingUnits, HoldTheSumsOfAllModesAndNoBitMore) {
  for (const char* modes : {"e4m3", "e4m3,e5m2", "e2m1", "e2m1,e2m3", "e5m2xe2m1,e3m2"})
    for (const char* max_k : {"1", "32", "1000", "65536"}) {
      const MultiSpec spec = accumulating({modes, "4", "kulisch", "", "", max_k});
      const rtl_gen::Unit unit = rtl_gen::generate(spec, {});
      const formats::FixedFormat window = exact_window(spec);
      EXPECT_EQ(unit.report.accumulator_width, window.width()) << modes << " " << max_k;
      EXPECT_EQ(unit.report.accumulator_lsb, window.lsb) << modes << " " << max_k;
    }
}

// Roundings of the fused unit beside RNE. The random bits are few, so that tails meet their bounds,
// or as many as there may be.
struct Rounded {
  const char* rounding;
  const char* technology;
  const char* modes;
  const char* addend;
};

class FusedRoundings : public ::testing::TestWithParam<Rounded> {};
INSTANTIATE_TEST_SUITE_P(Every, FusedRoundings,
                         ::testing::Values(Rounded{"rtz", "generic", "e4m3,e5m2", "fp32"},
                                           Rounded{"rtz", "osu018", "e4m3,e2m1", "bf16"},
                                           Rounded{"rna", "generic", "e4m3,e5m2", "fp32"},
                                           Rounded{"rna", "xilinx", "e4m3,e2m1", "bf16"},
                                           Rounded{"sr:2", "generic", "e4m3,e5m2", "bf16"},
                                           Rounded{"srf:2", "xilinx", "e4m3,e2m1", "bf16"},
                                           Rounded{"src:2", "generic", "e4m3,e5m2", "bf16"},
                                           Rounded{"sr:1", "generic", "e2m1,e3m2", "fp32"},
                                           Rounded{"src:32", "osu018", "e4m3,e5m2", "fp32"}),
                         [](const auto& p) {
                           return as_name(fmt::format("{}_{}_{}", p.param.rounding, p.param.modes,
                                                      p.param.addend));
                         });

TEST_P(FusedRoundings, GiveTheGoldenResultForPairsAndForRandomBeats) {
  const Rounded& r = GetParam();
  const MultiSpec spec = multi_spec(r.modes, "2", r.addend, r.rounding);
  MultiUnit unit(spec, combinational(r.technology));
  for (int mode = 0; mode < 2; ++mode) {
    const std::vector<Vector> pairs = every_pair(spec, mode);
    EXPECT_EQ(unit.check(pairs), static_cast<std::int64_t>(pairs.size()));
  }
  const std::vector<Vector> vectors = random_vectors(spec, 100000, 3);
  EXPECT_EQ(unit.check(vectors), 100000);
}

// Products of one or a few units of the field, where c's bits below the field decide a tie: every
// exponent of c at which some of its bits fall off, with one or two bits of its significand set.
class FusedUnits : public ::testing::TestWithParam<std::pair<const char*, std::size_t>> {};
INSTANTIATE_TEST_SUITE_P(Modes, FusedUnits,  // of every how many vectors
                         ::testing::Values(std::pair{"rne", 1}, std::pair{"rna", 7},
                                           std::pair{"rtz", 7}, std::pair{"src:3", 7}),
                         [](const auto& p) { return std::string(p.param.first).substr(0, 3); });

TEST_P(FusedUnits, RoundTheSmallestSumsByWhatLiesBelowTheField) {
  const MultiSpec spec = multi_spec("e5m2,e4m3", "2", "fp32", GetParam().first);
  std::vector<Vector> every, vectors;
  for (int mode = 0; mode < 2; ++mode)
    for (const std::uint32_t a : {0u, 1u, 2u, 3u, 0x81u, 0x83u})
      for (const std::uint32_t b : {0u, 1u, 0x81u}) {
        const int unit = 2 * lsb_exponent(spec.modes[static_cast<std::size_t>(mode)].a) + 127;
        for (int exponent = unit - 64; exponent < unit + 40; ++exponent)
          for (int i = -1; i < 23; ++i)
            for (int j = -1; j <= i; ++j) {
              std::uint32_t fraction = 0;
              for (const int bit : {i, j})
                if (bit >= 0) fraction |= 1u << bit;
              const std::uint32_t c = static_cast<std::uint32_t>(std::max(exponent, 0)) << 23;
              every.push_back({mode, {a, 1u}, {1u, b}, c | fraction});
              every.push_back({mode, {a, 1u}, {1u, b}, c | (fraction ^ 0x807fffffu)});
            }
      }
  for (std::size_t i = 0; i < every.size(); i += GetParam().second) vectors.push_back(every[i]);
  MultiUnit unit(spec, combinational("generic"));
  EXPECT_EQ(unit.check(vectors), static_cast<std::int64_t>(vectors.size()));
  EXPECT_GT(every.size(), 1000000u);
}

TEST(MultiVerilog, ComesOutOfLintWithoutAWord) {
  for (const char* technology : {"generic", "osu018", "xilinx"})
    for (const auto& [addend, rounding] :
         std::initializer_list<std::pair<const char*, const char*>>{
             {"", ""}, {"fp32", ""}, {"bf16", "rtz"}, {"fp32", "rna"}, {"bf16", "src:8"}}) {
      const MultiSpec spec = multi_spec("e4m3,e5m2,e2m1,e3m2xe4m3", "2", addend, rounding);
      const rtl_gen::Unit unit = rtl_gen::generate(spec, combinational(technology));
      EXPECT_EQ(rtl_gen::testing::lint(unit.verilog, unit.report.top), "") << technology << addend;
    }
  for (const char* accumulator : {"kulisch", "kulisch[20:-10]:sticky", "fp32", "bf16:sr:8",
                                  "aligned[13]:fp32", "aligned[2]:bf16:sr:8"})
    for (bool pipelined : {false, true}) {
      rtl_gen::Arch arch = combinational("generic");
      arch.combinational = !pipelined;
      const rtl_gen::Unit unit =
          rtl_gen::generate(accumulating({"e4m3,e5m2,e2m1,e3m2xe4m3", "2", accumulator}), arch);
      EXPECT_EQ(rtl_gen::testing::lint(unit.verilog, unit.report.top), "") << accumulator;
    }
}

struct InIcarus {
  const char *accumulator, *addend;
};

class MultiVerilogInIcarus : public ::testing::TestWithParam<InIcarus> {};
INSTANTIATE_TEST_SUITE_P(Every, MultiVerilogInIcarus,
                         ::testing::Values(InIcarus{"", "fp32"}, InIcarus{"aligned[6]:bf16", ""}),
                         [](const auto& p) {
                           return as_name(fmt::format("{}{}", p.param.accumulator, p.param.addend));
                         });

// Icarus keeps unknown bits that Verilator would hide; the pipeline is deep and random.
TEST_P(MultiVerilogInIcarus, GivesTheGoldenResultThroughARandomPipeline) {
  const auto& [accumulator, addend] = GetParam();
  const MultiSpec spec = *addend != 0 ? multi_spec("e4m3,e5m2,e2m1", "2", addend)
                                      : accumulating({"e4m3,e5m2,e2m1", "2", accumulator});
  rtl_gen::Arch arch;
  arch.clock_ns = *addend != 0 ? 1 : 0;
  arch.schedule = rtl_gen::ScheduleKind::kRandom;
  arch.schedule_seed = 5;
  const rtl_gen::Unit unit = rtl_gen::generate(spec, arch);
  const auto latency = static_cast<std::size_t>(unit.report.latency);
  ASSERT_GT(latency, *addend != 0 ? 5u : 1u);
  const std::vector<ModeCycle> stimulus = pipeline_cycles(spec, 500);
  std::vector<rtl_gen::testing::Cycle> cycles;
  // A cycle of reset, and bubbles that empty the pipeline.
  for (std::size_t i = 0; i <= stimulus.size() + latency; ++i) {
    const bool some = i >= 1 && i <= stimulus.size();
    const auto& [v, valid, first, last] = stimulus[some ? i - 1 : 0];
    const ModeFormats& m = mode_of(spec, v);
    const auto slots = [&](const std::vector<std::uint32_t>& codes, int width, int slot) {
      rtl_gen::Int word = 0;
      for (std::size_t k = 0; k < codes.size(); ++k) {
        const int terms = spec.terms(m), at = static_cast<int>(k);
        word += rtl_gen::Int(codes[k])
                << static_cast<unsigned>(at / terms * slot + at % terms * width);
      }
      return word;
    };
    const std::map<std::string, rtl_gen::Int> values = {
        {"rst_ni", i > 0},  {"valid_i", some && valid},
        {"first_i", first}, {"last_i", last},
        {"mode_i", v.mode}, {"a_i", slots(v.a, m.a.width(), spec.slot_a())},
        {"c_i", v.c},       {"b_i", slots(v.b, m.b.width(), spec.slot_b())}};
    rtl_gen::testing::Cycle cycle;
    for (const rtl_gen::Port& port : unit.report.ports)
      if (port.is_input && port.name != "clk_i") cycle.push_back(values.at(port.name));
    cycles.push_back(cycle);
  }
  const auto outputs =
      rtl_gen::testing::simulate(rtl_gen::testing::Simulator::kIcarus, unit.verilog,
                                 unit.report.top, unit.report.ports, cycles);
  const auto place_of = [&](const char* name) {
    std::size_t place = 0;
    for (const rtl_gen::Port& port : unit.report.ports) {
      if (port.is_input) continue;
      if (port.name == name) break;
      ++place;
    }
    return place;
  };
  const std::size_t valid = place_of("valid_o"), result = place_of("result_o");
  const auto golden = golden_results(spec, stimulus);
  int checked = 0;
  for (std::size_t i = 0; i < stimulus.size(); ++i) {
    ASSERT_EQ(outputs[i + 1 + latency].at(valid), rtl_gen::Int(golden[i].has_value())) << i;
    if (!golden[i]) continue;
    ASSERT_EQ(outputs[i + 1 + latency].at(result), rtl_gen::Int(*golden[i])) << i;
    ++checked;
  }
  EXPECT_GT(checked, 50);
}

TEST(MultiSpecs, OfAnAlignedAccumulatorHaveOneText) {
  const auto text = [](const Accumulated& a) { return to_text(accumulating(a)); };
  EXPECT_EQ(text({"E4M3,e2m1", "4", "Aligned[13]:FP32"}),
            "modes=e4m3,e2m1 lanes=4 accumulator=aligned[13]:fp32:rtz output=fp32 rounding=rtz "
            "max-k=65536");
  // One rounding: an accumulator that names none takes the output's.
  EXPECT_EQ(text({"e5m2", "1", "aligned[0]:bf16", "bf16", "rne", "64"}),
            "modes=e5m2 lanes=1 accumulator=aligned[0]:bf16:rne output=bf16 rounding=rne max-k=64");
  EXPECT_EQ(text({"e4m3xe2m1", "2", "aligned[5]:bf16:sr:4", "fp32", "rna"}),
            "modes=e4m3xe2m1 lanes=2 accumulator=aligned[5]:bf16:sr:4 output=fp32 rounding=rna "
            "max-k=65536");
}

TEST(MultiSpecs, ThatCannotBeBuiltSayWhatWouldWork) {
  const auto error = [](const char* modes, const char* lanes, const char* addend,
                        const char* rounding = "", const char* lfsr = "") -> std::string {
    try {
      multi_spec(modes, lanes, addend, rounding, lfsr);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(error("", "", "").find("e4m3,e5m2"), std::string::npos);
  EXPECT_NE(error("e4m3,int8", "", "").find("takes minifloats"), std::string::npos);
  EXPECT_NE(error("e4m3,e4m3", "", "").find("given twice"), std::string::npos);
  EXPECT_NE(error("e4m3", "65", "").find("[1, 64]"), std::string::npos);
  EXPECT_NE(error("e4m3,e5m2", "8", "fp16").find("try fp32 or bf16"), std::string::npos);
  EXPECT_NE(error("e4m3", "8", "e4m3").find("with Inf and NaN"), std::string::npos);
  EXPECT_EQ(error("e4m3,e5m2", "8", "fp32"), "");
  EXPECT_NE(error("e4m3", "8", "", "rtz").find("take a fused unit"), std::string::npos);
  EXPECT_NE(error("e4m3", "8", "fp32", "sr:17", "galois:16").find("galois:17 or wider"),
            std::string::npos);
  EXPECT_EQ(error("e5m2", "64", "bf16", "src:32"), "");
  const auto refused = [](const Accumulated& a) -> std::string {
    try {
      accumulating(a);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_NE(refused({"e4m3", "8", "aligned:fp32"}).find("as in aligned[13]:fp32"),
            std::string::npos);
  EXPECT_NE(refused({"e4m3", "8", "aligned[-1]:fp32"}).find("in [0, 128]"), std::string::npos);
  EXPECT_NE(refused({"e4m3", "8", "bf16:sr:4", "fp32", "sr:4"}).find("one random stream"),
            std::string::npos);
  EXPECT_NE(refused({"e4m3,e2m1", "8", "kulisch[20:-18]:exact"}).find("try kulisch[34:-18]:exact"),
            std::string::npos);
  EXPECT_NE(refused({"e4m3", "8", "kulisch[20:-9]", "", "", "4096"}).find("try kulisch[30:-9]"),
            std::string::npos);
  EXPECT_NE(refused({"e4m3", "8", "kulisch", "int8"}).find("must be a float"), std::string::npos);
}

}  // namespace
}  // namespace blockdot::testbench
