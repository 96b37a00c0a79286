#include "models/multi.h"

#include <cmath>

#include "formats/error.h"

namespace blockdot::models {

using formats::ElementFormat;
using formats::ModeFormats;
using formats::MultiSpec;

namespace {

const ModeFormats& mode_of(const MultiSpec& spec, int mode, std::size_t a, std::size_t b) {
  const ModeFormats& m = spec.modes.at(static_cast<std::size_t>(mode));
  const auto terms = static_cast<std::size_t>(spec.lanes * spec.terms(m));
  BLOCKDOT_CHECK(a == terms && b == terms, "{} and {} codes for {} terms", a, b, terms);
  return m;
}

// A number that is NaN or Inf.
void raise(GoldenAccumulator::Flags& flags, double special) {
  if (std::isnan(special))
    flags.nan = true;
  else
    (special > 0 ? flags.plus_inf : flags.minus_inf) = true;
}

}  // namespace

MultiSum golden_multi(const MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                      std::span<const std::uint32_t> b) {
  const ModeFormats& m = mode_of(spec, mode, a.size(), b.size());
  MultiSum out;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double x = decode(m.a, a[j]), y = decode(m.b, b[j]);
    if (std::isfinite(x) && std::isfinite(y)) {
      out.products.push_back({Exact(x) * Exact(y), exponent_of(m.a, x) + exponent_of(m.b, y)});
      out.sum += out.products.back().value;
    } else {
      out.special = true;
      raise(out.flags, x * y);  // IEEE 754: Inf times zero is NaN
    }
  }
  return out;
}

namespace {

const formats::Accumulation& accumulation_of(const MultiSpec& spec) {
  validate(spec);
  if (!spec.accumulation)
    throw ConfigError("accumulator = (nothing): is needed, such as kulisch or fp32");
  return *spec.accumulation;
}

}  // namespace

GoldenMulti::GoldenMulti(const MultiSpec& spec, std::optional<std::uint64_t> seed)
    : spec_(spec),
      random_(seed.value_or(accumulation_of(spec).lfsr.seed), spec.accumulation->lfsr),
      accumulator_(*spec.accumulation, false) {}

std::optional<std::uint32_t> GoldenMulti::step(int mode, std::span<const std::uint32_t> a,
                                               std::span<const std::uint32_t> b, bool first,
                                               bool last) {
  if (first) accumulator_.clear();
  const MultiSum beat = golden_multi(spec_, mode, a, b);
  accumulator_.add(beat.flags, beat.products, {Exact(1), 0}, random_);
  if (!last) return std::nullopt;
  return accumulator_.result({}, random_);
}

std::uint32_t golden_fused(const MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                           std::span<const std::uint32_t> b, std::uint32_t c,
                           std::uint32_t random) {
  const ElementFormat& f = spec.addend.value();
  auto [sum, special, flags, products] = golden_multi(spec, mode, a, b);
  const double addend = decode(f, c);
  if (std::isfinite(addend))
    sum += Exact(addend);
  else
    raise(flags, addend);
  if (flags.nan || (flags.plus_inf && flags.minus_inf)) return nan_code(f);
  if (flags.plus_inf || flags.minus_inf)
    return inf_code(f) | (flags.minus_inf ? 1u << (f.width() - 1) : 0);
  return golden_round(f, sum, spec.rounding, random, formats::Overflow::kToSpecial);
}

}  // namespace blockdot::models
