// Code books: elements whose values are a table and no formula. As data, in rising order of value.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "formats/rounding.h"

namespace blockdot::formats {

/// Code c means code_book_values(book)[c]; the values rise with the code.
enum class CodeBook {
  kNf4,        // 4 bits: quantiles of N(0,1) in [-1, 1], zero exact, asymmetric (QLoRA, appendix E)
  kDynamic8,   // 8 bits: the dynamic tree map of the 8-bit optimisers, signed, -0.993 .. 1
  kUDynamic8,  // 8 bits: the same map without sign, 0 .. 1
  kBinary,     // 1 bit: 0 is -1, 1 is +1
};

inline constexpr CodeBook kCodeBooks[] = {CodeBook::kNf4, CodeBook::kDynamic8, CodeBook::kUDynamic8,
                                          CodeBook::kBinary};

/// `nf4`, `dynamic8`, `udynamic8`, `binary`.
std::string_view code_book_name(CodeBook book);
int code_book_width(CodeBook book);  // bits of a code; the table has 2^width values
/// The values, rising. NF4: the 16 published constants (binary32). Dynamic map (Dettmers, ICLR
/// 2022, after arXiv:1511.04561): for i = 0..6 the n = 2^i (unsigned 2^(i+1)) midpoints of n equal
/// parts of [0.1, 1], times 10^(i-6), both signs where signed, with 0 and 1; each correctly rounded
/// to binary32. Libraries compute them in float32 and differ by up to 2 units in the last place.
std::span<const float> code_book_values(CodeBook book);

/// The code of the value nearest to x, decided exactly; beyond the ends the end; NaN gives the code
/// of 0, or of +1 in a book without 0. Ties (no source fixes them): RNE to the even code, RNA to
/// the larger magnitude. RTZ: the nearest value towards zero; in a book without a value there, the
/// nearest. Stochastic, on the axis of values: with the neighbours lo < x < hi and
/// t = floor((x - lo)/(hi - lo) * 2^r), x becomes hi when t + random >= 2^r.
std::uint32_t encode_code_book(CodeBook book, double x, const Rounding& rounding,
                               std::uint32_t random);

}  // namespace blockdot::formats
