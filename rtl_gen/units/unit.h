// Whole units: the ports, and how the parts are put together.
#pragma once

#include "formats/dot_spec.h"
#include "rtl_gen/ir/graph.h"
#include "rtl_gen/units/structure.h"

namespace blockdot::rtl_gen {

/// What the report says of a unit beyond its graph.
struct UnitFacts {
  int sum_width = 0, sum_lsb = 0;                  // the exact block dot
  int accumulator_width = 0, accumulator_lsb = 0;  // lsb: fixed point only
  // Bare block dot: Xa Xb = scale_sig_o * 2^(scale_o + scale_lsb).
  int scale_lsb = 0;
  bool has_scale_sig = false, scale_sig_signed = false, has_scale_exponent = false;
};

/// valid, first, last, operands (and seed) in; valid_o and result_o out. `to_open` (open_loop):
/// what multiplies the result is that of the latest valid beat, so that result_o is right while
/// none is, and the random bits come in at `random_i`.
Graph build_dot_unit(const formats::DotSpec& spec, UnitFacts* facts = nullptr,
                     const Structure& structure = kPlain,
                     Technology technology = Technology::kGeneric, bool to_open = false);

/// valid and operands in; valid_o, sum_o, nan_o and the factor of the beat out: scale_sig_o where
/// it is more than a power of two, scale_o where it has an exponent. `framed`: with valid_i and
/// valid_o.
Graph build_block_dot_unit(const formats::DotSpec& spec, bool framed, UnitFacts* facts = nullptr,
                           const Structure& structure = kPlain,
                           Technology technology = Technology::kGeneric);

}  // namespace blockdot::rtl_gen
