// Products of a lane: significands to one word, or rows of partial products for the sum of all
// lanes.
#pragma once

#include <string_view>
#include <vector>

#include "formats/block_format.h"
#include "rtl_gen/build/chain.h"
#include "rtl_gen/units/structure.h"

namespace blockdot::rtl_gen {

/// x * y of two unsigned significands, by the structure's multiplier.
Fx multiply(Graph& graph, const Fx& x, const Fx& y, const Structure& structure,
            Technology technology, std::string_view name);

/// Bits of the index of a product table; 0 where the pair has too many for one.
int table_bits(const formats::ElementFormat& a, const formats::ElementFormat& b);

/// |a| * |b| in units of both formats' lsb_exponents, all exponents applied, by the codes without
/// sign bits; of two integers the signed product by the codes. Codes of NaN and Inf count as zero.
Fx product_table(const formats::ElementFormat& a, const formats::ElementFormat& b, const Fx& code_a,
                 const Fx& code_b, std::string_view name);

/// Terms of x * y, two's complement, by AND rows (Baugh and Wooley): row i is y masked by bit i of
/// x; the row of x's sign bit is subtracted.
void array_rows(const Fx& x, const Fx& y, std::string_view name, std::vector<Fx>& terms);

/// Booth's radix-4 digits of x: d_i in {-2..2}, x = sum_i d_i 4^i, i < booth_digits(x).
int booth_digits(const Fx& x);

/// Terms whose sum is -x * y: complemented rows need NAND-like gates only, and one complement after
/// the sum takes the sign back.
void booth_terms(const Fx& x, const Fx& y, std::string_view name, std::vector<Fx>& terms);

/// Digit i of x times y as a row at 4^i for a carry chain.
ChainRow booth_row(const Fx& x, const Fx& y, int digit);

}  // namespace blockdot::rtl_gen
