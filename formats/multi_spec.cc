#include "formats/multi_spec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

namespace {

constexpr int kMaxModes = 16;
constexpr int kMaxLanes = 64;
constexpr int kMaxWidth = 8;

// "e4m3xe2m1": no element format has an x in its text.
ModeFormats parse_mode(std::string_view text) {
  const std::size_t x = text.find('x');
  if (x == 0 || x + 1 == text.size())
    throw ConfigError("modes = {}: a mode of two formats is written AxB, e.g. e4m3xe5m2",
                      shown(text));
  const ElementFormat a = parse_element(text.substr(0, x), "modes");
  return {a, x == std::string_view::npos ? a : parse_element(text.substr(x + 1), "modes")};
}

}  // namespace

int MultiSpec::slot_a() const {
  int width = 0;
  for (const ModeFormats& m : modes) width = std::max(width, m.a.width());
  return width;
}

int MultiSpec::slot_b() const {
  int width = 0;
  for (const ModeFormats& m : modes) width = std::max(width, m.b.width());
  return width;
}

int MultiSpec::terms(const ModeFormats& mode) const {
  return 2 * mode.a.width() <= slot_a() && 2 * mode.b.width() <= slot_b() ? 2 : 1;
}

int MultiSpec::most_products() const {
  int most = 0;
  for (const ModeFormats& m : modes) most = std::max(most, lanes * terms(m));
  return most;
}

bool MultiSpec::aligned() const {
  return accumulation && accumulation->accumulator.kind == AccumulatorKind::kAligned;
}

int MultiSpec::mode_bits() const {
  int bits = 0;
  while ((std::size_t{1} << bits) < modes.size()) ++bits;
  return bits;
}

std::string to_text(const ModeFormats& mode) {
  if (mode.a == mode.b) return to_text(mode.a);
  return fmt::format("{}x{}", to_text(mode.a), to_text(mode.b));
}

std::string to_text(const MultiSpec& spec) {
  std::string text = "modes=";
  for (std::size_t i = 0; i < spec.modes.size(); ++i)
    text += (i ? "," : "") + to_text(spec.modes[i]);
  text += fmt::format(" lanes={}", spec.lanes);
  if (spec.addend)
    text += fmt::format(" addend={} rounding={}{}", to_text(*spec.addend), to_text(spec.rounding),
                        spec.lfsr == LfsrSpec{} ? "" : " lfsr=" + to_text(spec.lfsr));
  if (const auto& acc = spec.accumulation)
    text += fmt::format(" accumulator={} output={} rounding={} max-k={}{}",
                        to_text(acc->accumulator), to_text(acc->output), to_text(acc->rounding),
                        acc->max_k, acc->lfsr == LfsrSpec{} ? "" : " lfsr=" + to_text(acc->lfsr));
  return text;
}

int read_bits(const MultiSpec& spec) {
  const Rounding& r = spec.rounding;
  return r.stochastic() ? r.random_bits + (r.variant != SrVariant::kSrff) : 1;
}

int product_lsb(const MultiSpec& spec) {
  int lsb = lsb_exponent(spec.modes[0].a) + lsb_exponent(spec.modes[0].b);
  for (const ModeFormats& m : spec.modes)
    lsb = std::min(lsb, lsb_exponent(m.a) + lsb_exponent(m.b));
  return lsb;
}

int sum_bound(const MultiSpec& spec) {
  int bound = product_lsb(spec);
  for (const ModeFormats& m : spec.modes) {
    // At most 64 * 2 products of 8-bit significand products: exact in a double.
    const double most = max_value(m.a) * max_value(m.b) * spec.lanes * spec.terms(m);
    bound = std::max(bound, std::ilogb(most) + 1);
  }
  return bound;
}

void validate(const MultiSpec& spec) {
  if (spec.modes.empty() || spec.modes.size() > kMaxModes)
    throw ConfigError("modes = {} formats: must be in [1, {}], as in e4m3,e5m2", spec.modes.size(),
                      kMaxModes);
  for (std::size_t i = 0; i < spec.modes.size(); ++i) {
    const ModeFormats& m = spec.modes[i];
    for (const ElementFormat* f : {&m.a, &m.b}) {
      validate(*f);
      if (f->kind != ElementKind::kMinifloat || f->special == Special::kFnuz ||
          f->width() > kMaxWidth)
        throw ConfigError(
            "modes = {}: a mode takes minifloats of at most {} bits, such as e4m3, e5m2, e3m2, "
            "e2m3 "
            "or e2m1; integers, code books and fnuz formats are not taken",
            to_text(*f), kMaxWidth);
    }
    if (std::find(spec.modes.begin(), spec.modes.begin() + static_cast<std::ptrdiff_t>(i), m) !=
        spec.modes.begin() + static_cast<std::ptrdiff_t>(i))
      throw ConfigError("modes = {}: given twice", to_text(m));
  }
  if (spec.lanes < 1 || spec.lanes > kMaxLanes)
    throw ConfigError("lanes = {}: must be in [1, {}]", spec.lanes, kMaxLanes);
  if (spec.accumulation) {
    const Accumulation& acc = *spec.accumulation;
    if (spec.addend)
      throw ConfigError("accumulator = {}: a fused unit has an addend and none; take one of both",
                        to_text(acc.accumulator));
    validate(acc, false);
    check_window(acc, exact_window(spec), false);
    return;
  }
  if (!spec.addend) return;
  const ElementFormat& f = *spec.addend;
  validate(f);
  if (f.kind != ElementKind::kMinifloat || f.special != Special::kIeee)
    throw ConfigError("addend = {}: must be a float with Inf and NaN such as fp32 or bf16",
                      to_text(f));
  // A sum that is not the addend itself is normal and finite then, and subnormal addends lie below
  // all that a rounding can read (rtl_gen/units/fused.cc).
  const Rounding& r = spec.rounding;
  if (r.stochastic() && (r.random_bits < 1 || r.random_bits > 32))
    throw ConfigError("rounding = {}: random bits must be in [1, 32]", to_text(r));
  validate(spec.lfsr);
  if (r.stochastic() && r.random_bits > spec.lfsr.width)
    throw ConfigError(
        "rounding = {}: draws more bits than lfsr = {} has; take lfsr = {}:{} or wider", to_text(r),
        to_text(spec.lfsr), spec.lfsr.kind == LfsrKind::kGalois ? "galois" : "fibonacci",
        r.random_bits);
  const int reads = read_bits(spec);
  const int least = product_lsb(spec) - f.man_bits - 2 - reads;
  const int most = sum_bound(spec) + f.man_bits + 1 + reads;
  if (1 - f.bias > least || max_exponent(f) < most)
    throw ConfigError(
        "addend = {}: its exponents must cover [{}, {}], where sums of these products lie; try "
        "fp32 or bf16",
        to_text(f), least, most);
}

FixedFormat exact_window(const MultiSpec& spec) {
  const int beat = spec.most_products();
  const std::int64_t products = (spec.accumulation.value().max_k + beat - 1) / beat * beat;
  const int lsb = product_lsb(spec);
  FixedFormat window{lsb + 1, lsb, false, false, true};
  // At most 2^32 + 128 products of 8-bit significand products: exact in a double.
  for (const ModeFormats& m : spec.modes)
    window.msb =
        std::max(window.msb,
                 std::ilogb(max_value(m.a) * max_value(m.b) * static_cast<double>(products)) + 1);
  return window;
}

MultiSpec resolve_multi(std::string_view modes, std::string_view addend, const DotSpecText& text) {
  MultiSpec spec;
  if (modes.empty()) throw ConfigError("modes = (nothing): formats are needed, e.g. e4m3,e5m2");
  for (const std::string& mode : split(modes, ','))
    spec.modes.push_back(parse_mode(to_lower(mode)));
  if (!text.lanes.empty())
    spec.lanes = static_cast<int>(parse_int("lanes", text.lanes, 1, kMaxLanes));
  if (!addend.empty()) spec.addend = parse_element(addend, "addend");
  if (!text.accumulator.empty()) {
    spec.accumulation = resolve_accumulation(text, false);
  } else if (spec.addend) {
    if (!text.rounding.empty()) spec.rounding = parse_rounding(text.rounding);
    if (!text.lfsr.empty()) spec.lfsr = parse_lfsr(text.lfsr);
  } else {
    for (const auto& [field, value] : {std::pair{"output", &text.output},
                                       {"rounding", &text.rounding},
                                       {"max-k", &text.max_k},
                                       {"lfsr", &text.lfsr}})
      if (!value->empty())
        throw ConfigError(
            "{} = {}: a multi unit without an accumulator gives the exact sum; give it one, such "
            "as accumulator = kulisch or fp32, or take a fused unit, which has an addend",
            field, shown(*value));
  }
  validate(spec);
  if (spec.accumulation && states_sums(text))
    check_window(*spec.accumulation, exact_window(spec), true);
  return spec;
}

}  // namespace blockdot::formats
