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
};

/// valid, first, last, operands (and seed) in; valid_o and result_o out.
Graph build_dot_unit(const formats::DotSpec& spec, UnitFacts* facts = nullptr,
                     const Structure& structure = kPlain,
                     Technology technology = Technology::kGeneric);

/// valid and operands in; valid_o, sum_o, scale_o, nan_o out. `framed`: with valid_i and valid_o.
/// ConfigError where a scale is a minifloat: it is no exponent that scale_o could carry.
Graph build_block_dot_unit(const formats::DotSpec& spec, bool framed, UnitFacts* facts = nullptr,
                           const Structure& structure = kPlain,
                           Technology technology = Technology::kGeneric);

}  // namespace blockdot::rtl_gen
