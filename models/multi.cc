#include "models/multi.h"

#include <cmath>

#include "formats/error.h"
#include "models/golden.h"

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

}  // namespace

MultiSum golden_multi(const MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                      std::span<const std::uint32_t> b) {
  const ModeFormats& m = mode_of(spec, mode, a.size(), b.size());
  MultiSum out;
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double x = decode(m.a, a[j]), y = decode(m.b, b[j]);
    if (std::isfinite(x) && std::isfinite(y))
      out.sum += Exact(x) * Exact(y);
    else
      out.special = true;
  }
  return out;
}

std::uint32_t golden_fused(const MultiSpec& spec, int mode, std::span<const std::uint32_t> a,
                           std::span<const std::uint32_t> b, std::uint32_t c,
                           std::uint32_t random) {
  const ModeFormats& m = mode_of(spec, mode, a.size(), b.size());
  const ElementFormat& f = spec.addend.value();
  Exact sum;
  bool nan = false, plus = false, minus = false;
  const auto add = [&](double special) {  // NaN or Inf
    if (std::isnan(special))
      nan = true;
    else
      (special > 0 ? plus : minus) = true;
  };
  for (std::size_t j = 0; j < a.size(); ++j) {
    const double x = decode(m.a, a[j]), y = decode(m.b, b[j]);
    if (std::isfinite(x) && std::isfinite(y))
      sum += Exact(x) * Exact(y);
    else
      add(x * y);  // IEEE 754: Inf times zero is NaN
  }
  const double addend = decode(f, c);
  if (std::isfinite(addend))
    sum += Exact(addend);
  else
    add(addend);
  if (nan || (plus && minus)) return nan_code(f);
  if (plus || minus) return inf_code(f) | (minus ? 1u << (f.width() - 1) : 0);
  return golden_round(f, sum, spec.rounding, random, formats::Overflow::kToSpecial);
}

}  // namespace blockdot::models
