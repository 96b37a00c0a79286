// What a reader must know of a unit's numbers: bit layouts, and how far a result may be from the
// exact one.
#pragma once

#include <string>

#include "rtl_gen/design.h"

namespace blockdot::rtl_gen {

/// The rows of the table of formats, Markdown: number, layout from the most significant bit on,
/// value, range.
std::string format_rows(const Design& design);

/// The section on errors, Markdown: formulas and their numbers for this spec.
std::string error_bounds(const Design& design);

/// Unit roundoff u of a minifloat: a rounding of x in the normal range errs by at most u * |x|.
/// 2^-(man_bits + 1) to nearest, 2^-man_bits otherwise.
double unit_roundoff(const formats::ElementFormat& format, const formats::Rounding& rounding);

/// n u / (1 - n u), the bound of n roundings in a row (Higham, Accuracy and Stability of Numerical
/// Algorithms, lemma 3.1); infinity where n u >= 1.
double gamma(double n, double u);

/// Bound with probability 0.99 of the error of n stochastic roundings with r random bits, over the
/// largest partial sum: u min(n, sqrt(n ln(200) / 2) + n 2^-r) (Hoeffding's inequality for the
/// spread; each rounding's mean is off by at most 2^-r ulp).
double stochastic_bound(double n, double u, int random_bits);

}  // namespace blockdot::rtl_gen
