#include "rtl_gen/package/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::Accumulation;
using formats::AccumulatorKind;
using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementFormat;
using formats::ElementKind;
using formats::Rounding;
using formats::RoundingMode;
using formats::ScaleKind;

namespace {

std::string element_layout(const ElementFormat& f) {
  switch (f.kind) {
    case ElementKind::kMinifloat:
      return f.man_bits > 0 ? fmt::format("`[ sign : 1 ][ exponent : {} ][ mantissa : {} ]`",
                                          f.exp_bits, f.man_bits)
                            : fmt::format("`[ sign : 1 ][ exponent : {} ]`", f.exp_bits);
    case ElementKind::kInteger:
      return fmt::format("`[ two's complement : {} ]`", f.int_bits);
    case ElementKind::kSignMagnitude:
      return fmt::format("`[ sign : 1 ][ magnitude : {} ]`", f.int_bits);
    case ElementKind::kCodeBook:
      return fmt::format("`[ index : {} ]`", f.width());
  }
  return "";
}

std::string element_value(const ElementFormat& f) {
  switch (f.kind) {
    case ElementKind::kMinifloat:
      return fmt::format("bias {}, {}", f.bias,
                         formats::has_inf(f)   ? "Inf and NaN"
                         : formats::has_nan(f) ? "NaN, no Inf"
                                               : "no NaN, no Inf");
    case ElementKind::kInteger:
      return fmt::format("code x 2^{}{}", -f.frac_bits,
                         f.symmetric ? "; the most negative code is not used" : "");
    case ElementKind::kSignMagnitude:
      return fmt::format("(-1)^sign x magnitude x 2^{}", -f.frac_bits);
    case ElementKind::kCodeBook:
      return "entry of the table (`blockdot formats`)";
  }
  return "";
}

std::string row(std::string_view what, std::string_view format, const std::string& layout,
                const std::string& value, const std::string& range) {
  return fmt::format("| {} | {} | {} | {} | {} |\n", what, format, layout, value, range);
}

std::string element_row(const std::string& what, const ElementFormat& f) {
  return row(what, to_text(f), element_layout(f), element_value(f),
             fmt::format("max {:.9g}, least positive {:.9g}", formats::max_value(f),
                         formats::min_positive(f)));
}

std::string scale_row(const std::string& port, const formats::ScaleFormat& f) {
  const std::string most = fmt::format("max {:.9g}", formats::max_value(f));
  switch (f.kind) {
    case ScaleKind::kNone:
      return "";
    case ScaleKind::kE8M0:
      return row(port, "e8m0", "`[ code : 8 ]`", "2^(code - 127), 255 is NaN", "2^-127 to 2^127");
    case ScaleKind::kMinifloat: {
      const ElementFormat& m = f.minifloat;
      return row(port, to_text(f),
                 fmt::format("`[ exponent : {} ][ mantissa : {} ]`", m.exp_bits, m.man_bits),
                 element_value(m) + ", never negative", most);
    }
    case ScaleKind::kInteger:
      return row(port, to_text(f), fmt::format("`[ code : {} ]`", f.int_bits), "code", most);
    case ScaleKind::kCodeBook:
      return row(port, to_text(f), fmt::format("`[ index : {} ]`", f.width()),
                 "entry of the table (`blockdot formats`)", most);
  }
  return "";
}

/// A block's numbers, under the names that they have.
std::string block_rows(const BlockFormat& f, const std::string& element, const std::string& scale,
                       const std::string& micro, const std::string& outer = "",
                       const std::string& mean = "") {
  std::string text = element_row(element, f.element) + scale_row(scale, f.scale);
  if (!outer.empty()) text += scale_row(outer, f.outer.scale);
  if (!mean.empty() && f.outer.mean) text += element_row(mean, formats::minifloat(8, 23));
  if (f.micro.bits > 0)
    text +=
        row(micro, fmt::format("u{}", f.micro.bits), fmt::format("`[ tau : {} ]`", f.micro.bits),
            fmt::format("2^-tau for {} elements", f.micro.block),
            fmt::format("tau 0 to {}", (1 << f.micro.bits) - 1));
  return text;
}

/// `suffix`: of the names of ports; none where they are fields of a stream.
std::string operand_rows(const std::string& side, const BlockFormat& f, std::string_view suffix) {
  return block_rows(
      f, fmt::format("`{}{}` element", side, suffix), fmt::format("`{}_scale{}`", side, suffix),
      fmt::format("`{}_micro{}`", side, suffix), fmt::format("`{}_outer{}`", side, suffix),
      fmt::format("`{}_mean{}`", side, suffix));
}

std::string fixed_row(const std::string& what, int width, int lsb) {
  return row(what, "fixed point", fmt::format("`[ two's complement : {} ]`", width),
             fmt::format("code x 2^{}", lsb),
             fmt::format("-2^{0} to 2^{0} - 2^{1}", width - 1 + lsb, lsb));
}

/// 2^-25 = 2.98e-08 for powers of two; none for infinity.
std::string number(double x) {
  if (!std::isfinite(x)) return "none";
  int e = 0;
  if (x > 0 && std::frexp(x, &e) == 0.5) return fmt::format("2^{} = {:.3g}", e - 1, x);
  return fmt::format("{:.3g}", x);
}

bool nearest(const Rounding& rounding) {
  return rounding.mode == RoundingMode::kRne || rounding.mode == RoundingMode::kRna;
}

std::string_view ulps(const Rounding& rounding) {
  return nearest(rounding) ? "at most half a unit in the last place (ulp)"
                           : "less than one unit in the last place (ulp)";
}

/// What one rounding to `f` may do.
std::string one_rounding(const ElementFormat& f, const Rounding& rounding) {
  const double step = formats::min_positive(f);
  std::string text = fmt::format(
      "One rounding ({}) to {} errs by {}: u x |x| with u = {} where |x| is in [{:.4g}, {:.4g}], "
      "and "
      "{} below.",
      to_text(rounding), to_text(f), ulps(rounding), number(unit_roundoff(f, rounding)),
      formats::min_normal(f), formats::max_value(f), number(nearest(rounding) ? step / 2 : step));
  if (rounding.stochastic())
    text +=
        fmt::format(" Its mean over the random bits is off by {} 2^-{} ulp: {} random bits ({}).",
                    rounding.variant == formats::SrVariant::kSrff ? "less than" : "at most",
                    rounding.variant == formats::SrVariant::kSrff ? rounding.random_bits
                                                                  : rounding.random_bits + 1,
                    rounding.random_bits, to_text(rounding));
  return text + "\n";
}

std::string overflow(const ElementFormat& f, const Rounding& rounding) {
  const std::string what = rounding.mode == RoundingMode::kRtz ? "stays at the largest value"
                           : formats::has_inf(f)               ? "becomes Inf"
                           : formats::has_nan(f)               ? "becomes NaN"
                                                               : "saturates";
  return fmt::format("Beyond {:.9g} a result {}.\n", formats::max_value(f), what);
}

/// What an accumulator is fed with, and what its result is multiplied by.
struct Feed {
  int lanes = 0;                                    // products a beat, at least
  std::function<std::int64_t(std::int64_t)> beats;  // of so many products, at most
  bool scaled = false;                              // beats have scales
  bool factor = false;                              // results have a factor
  int most = lanes;                                 // products a beat, at most
};

/// Reductions worth a row: one beat, then powers of the block length's order up to max_k.
std::vector<std::int64_t> lengths(const Accumulation& spec, const Feed& feed) {
  std::vector<std::int64_t> all;
  for (std::int64_t k : {std::int64_t{feed.lanes}, std::int64_t{256}, std::int64_t{1024},
                         std::int64_t{4096}, spec.max_k})
    if (k >= feed.lanes && k <= spec.max_k && (all.empty() || k > all.back())) all.push_back(k);
  if (all.empty()) all.push_back(spec.max_k);
  return all;
}

std::string output_rounding(const Accumulation& spec, const Feed& feed) {
  return formats::output_rounds(spec, feed.factor)
             ? "The output adds one rounding. " + one_rounding(spec.output, spec.rounding)
             : "The output has the accumulator's format: no further rounding.\n";
}

std::string float_bounds(const Accumulation& spec, const Feed& feed) {
  const ElementFormat& f = spec.accumulator.format;
  const Rounding& rounding = spec.accumulator.rounding;
  const double u = unit_roundoff(f, rounding);
  const double least = nearest(rounding) ? formats::min_positive(f) / 2 : formats::min_positive(f);
  std::string text = fmt::format(
      "The accumulator is rounded once a beat, n times in all. With T_t the exact value of beat t\n"
      "and no overflow,\n\n"
      "    |accumulator - exact| <= gamma_n x sum_t |T_t| + n x eta,   gamma_n = n u / (1 - n "
      "u)\n\n"
      "with u = {} and eta = {}, which counts only where partial sums fall below {:.4g}.",
      number(u), number(least), formats::min_normal(f));
  const bool sr = rounding.stochastic();
  if (sr)
    text += fmt::format(
        " Where P bounds the partial\nsums, stochastic rounding also keeps, with probability "
        "0.99,\n\n    |accumulator - exact| <= u P min(n, 1.63 sqrt(n) + n 2^-{0})\n\n(Hoeffding: "
        "a "
        "rounding is off by less than an ulp, and by at most 2^-{0} ulp in the mean).",
        rounding.random_bits);
  text += sr ? "\n\n| K | beats n | gamma_n | error / P, probability 0.99 |\n|---|---|---|---|\n"
             : "\n\n| K | beats n | gamma_n |\n|---|---|---|\n";
  for (std::int64_t k : lengths(spec, feed)) {
    const auto beats = static_cast<double>(feed.beats(k));
    text += fmt::format("| {} | {} | {} |", k, beats, number(gamma(beats, u)));
    if (sr) text += fmt::format(" {} |", number(stochastic_bound(beats, u, rounding.random_bits)));
    text += "\n";
  }
  text += "\n";
  if (text.find("| none |") != std::string::npos)
    text += "\"none\": n u >= 1, no bound of this form. ";
  return text + output_rounding(spec, feed);
}

std::string window_bounds(const UnitReport& report, const Accumulation& spec, const Feed& feed) {
  const formats::FixedFormat& w = spec.accumulator.window;
  // Without scales no bit of a beat lies below the block sum's own lowest bit.
  const bool exact = !feed.scaled && report.sum_lsb >= w.lsb;
  std::string text;
  if (exact) {
    text = fmt::format("The window holds every bit of a beat above 2^{}: nothing is dropped.\n",
                       report.sum_lsb);
  } else {
    text = fmt::format(
        "Each beat drops its bits below 2^{0} (towards minus infinity). After n beats that stay "
        "inside the window,\n\n    0 <= exact - accumulator < n x 2^{0}\n\n| K | beats n | "
        "dropped, "
        "less than |\n|---|---|---|\n",
        w.lsb);
    for (std::int64_t k : lengths(spec, feed)) {
      const auto beats = feed.beats(k);
      text += fmt::format("| {} | {} | {} |\n", k, beats,
                          number(std::ldexp(static_cast<double>(beats), w.lsb)));
    }
    text += "\n";
  }
  if (w.sticky && !exact)
    text += fmt::format(
        "A sticky bit of weight 2^{} says that something was dropped: it decides ties.\n",
        w.lsb - 1);
  text += fmt::format("Beyond [-2^{0}, 2^{0} - 2^{1}] the accumulator {2} after the beat.\n", w.msb,
                      w.lsb, w.saturate ? "saturates" : "wraps");
  return text + one_rounding(spec.output, spec.rounding);
}

std::string aligned_bounds(const Accumulation& spec, const Feed& feed) {
  const ElementFormat& f = spec.accumulator.format;
  const int kept = spec.accumulator.fraction_bits;
  std::string text = fmt::format(
      "With e the largest exponent of a beat's {}{} products and the accumulator (of those that "
      "are "
      "not zero), each of these terms loses less than 2^(e - {}), towards zero:\n\n"
      "    |beat's exact sum - sum of the cut terms| < {} x 2^(e - {})\n\n"
      "and the sum is rounded to {}: another u = {} of it at most.\n",
      feed.most > feed.lanes ? "at most " : "", feed.most, kept, feed.most + 1, kept, to_text(f),
      number(unit_roundoff(f, spec.accumulator.rounding)));
  return text + output_rounding(spec, feed);
}

}  // namespace

double unit_roundoff(const ElementFormat& format, const Rounding& rounding) {
  return std::ldexp(1.0, -format.man_bits - (nearest(rounding) ? 1 : 0));
}

double gamma(double n, double u) {
  return n * u < 1 ? n * u / (1 - n * u) : std::numeric_limits<double>::infinity();
}

double stochastic_bound(double n, double u, int random_bits) {
  // P(|sum of n steps| >= t) <= 2 exp(-2 t^2 / (n range^2)), range u P: 0.01 at sqrt(ln(200) / 2).
  const double spread = std::sqrt(n * std::log(200) / 2);
  return u * std::min(n, spread + std::ldexp(n, -random_bits));
}

std::string format_rows(const Design& design) {
  const UnitReport& report = design.report;
  const auto beat = [&](std::string_view suffix) {
    const DotSpec& spec = *design.spec.contract();
    return operand_rows("a", spec.a, suffix) + operand_rows("b", spec.b, suffix);
  };
  const auto accumulated = [&](const Accumulation& spec, const std::string& result) {
    std::string text;
    // An aligned accumulator takes the products one by one.
    if (report.sum_width > 0 && spec.accumulator.kind != AccumulatorKind::kAligned)
      text += fixed_row(
          report.kind == UnitKind::kMulti ? "sum of a beat" : "sum of a beat, before scales",
          report.sum_width, report.sum_lsb);
    if (spec.accumulator.is_float())
      text += element_row("accumulator", spec.accumulator.format);
    else if (report.accumulator_width > 0)
      text += fixed_row("accumulator", report.accumulator_width, report.accumulator_lsb);
    return text + element_row(result, spec.output);
  };
  const auto dot = [&](std::string_view suffix, const std::string& result) {
    return beat(suffix) + accumulated(*design.spec.contract(), result);
  };
  switch (report.kind) {
    case UnitKind::kBlockDot:
      return beat("_i") + fixed_row("`sum_o`", report.sum_width, report.sum_lsb);
    case UnitKind::kDot:
      return dot("_i", "`result_o`");
    case UnitKind::kStream:
      return dot("", "`m_axis_tdata`");
    case UnitKind::kArray:
      return dot("_i", "`out_result_o`");
    case UnitKind::kMulti:
    case UnitKind::kFused: {
      const formats::MultiSpec& spec = design.spec.multi;
      std::string text;
      for (std::size_t i = 0; i < spec.modes.size(); ++i) {
        const formats::ModeFormats& m = spec.modes[i];
        if (m.a == m.b) {
          text += element_row(fmt::format("`a_i`, `b_i` in mode {}", i), m.a);
          continue;
        }
        text += element_row(fmt::format("`a_i` in mode {}", i), m.a);
        text += element_row(fmt::format("`b_i` in mode {}", i), m.b);
      }
      if (spec.accumulation) return text + accumulated(*spec.accumulation, "`result_o`");
      return text + (spec.addend ? element_row("`c_i`, `result_o`", *spec.addend)
                                 : fixed_row("`sum_o`", report.sum_width, report.sum_lsb));
    }
    case UnitKind::kQuantizer: {
      const QuantizerSpec& spec = design.spec.quantizer;
      return element_row("`x_i` value", spec.input) +
             block_rows(spec.format, "`elements_o` element", "`scale_o`", "`micro_o`");
    }
  }
  return "";
}

namespace {

std::string result_bounds(const UnitReport& report, const Accumulation& spec, const Feed& feed) {
  std::string text;
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      text = fmt::format(
                 "The accumulator never rounds and never overflows up to K = {}: the result does "
                 "not depend "
                 "on the order of the terms, and all of its error is the output's.\n",
                 spec.max_k) +
             one_rounding(spec.output, spec.rounding);
      break;
    case AccumulatorKind::kKulischWindow:
      text = window_bounds(report, spec, feed);
      break;
    case AccumulatorKind::kFloat:
      text = float_bounds(spec, feed);
      break;
    case AccumulatorKind::kAligned:
      text = aligned_bounds(spec, feed);
      break;
  }
  return text + overflow(spec.output, spec.rounding);
}

}  // namespace

std::string error_bounds(const Design& design) {
  switch (design.report.kind) {
    case UnitKind::kBlockDot:
      return "None: `sum_o` is the exact sum, and no operands of these formats overflow it.\n";
    case UnitKind::kMulti: {
      const formats::MultiSpec& spec = design.spec.multi;
      if (spec.accumulation) {
        // The shortest beats: those of one term a lane, unless all modes have two.
        int terms = 2;
        for (const formats::ModeFormats& m : spec.modes) terms = std::min(terms, spec.terms(m));
        const int lanes = spec.lanes * terms;
        return result_bounds(design.report, *spec.accumulation,
                             {lanes, [lanes](std::int64_t k) { return (k + lanes - 1) / lanes; },
                              false, false, spec.most_products()});
      }
      return "None: `sum_o` is the exact sum in every mode, and no operands of its formats "
             "overflow it.\n";
    }
    case UnitKind::kFused: {
      const formats::MultiSpec& spec = design.spec.multi;
      const ElementFormat& f = *spec.addend;
      return "The products and the addend are summed exactly, whatever cancels.\n" +
             one_rounding(f, spec.rounding) + overflow(f, spec.rounding);
    }
    case UnitKind::kQuantizer: {
      const QuantizerSpec& spec = design.spec.quantizer;
      const ElementFormat& f = spec.format.element;
      return fmt::format(
          "With s the scale of a value (2^-tau of its group in it where there are micro "
          "exponents), its code\nis x / s rounded once ({}) to {}: off by {} of the code's "
          "value, times s. Beyond\n{:.9g} s a code is the largest one of its sign. Which s a "
          "block gets, and so whether that happens, is the\nscale rule's ({}).\n",
          to_text(spec.rounding), to_text(f), ulps(spec.rounding), formats::max_value(f),
          to_text(spec.rule));
    }
    case UnitKind::kDot:
    case UnitKind::kStream:
    case UnitKind::kArray: {
      const DotSpec& spec = *design.spec.contract();
      return result_bounds(design.report, spec,
                           {spec.lanes, [&](std::int64_t k) { return formats::beats_for(spec, k); },
                            spec.a.has_scale() || spec.b.has_scale(), has_result_factor(spec)});
    }
  }
  return "";
}

}  // namespace blockdot::rtl_gen
