// Units that serve several formats by a mode input (formats/multi_spec.h), and the fused one that
// adds a float and rounds once.
#pragma once

#include "formats/multi_spec.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/structure.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {

/// The products of all lanes as terms of one sum in units of 2^product_lsb, and their flags.
struct MultiProducts {
  std::vector<Fx> terms;
  Fx nan;                  // a NaN element, or Inf times zero
  Fx plus_inf, minus_inf;  // some product is Inf of that sign, after `flip`
  Fx any_special;          // some element is NaN or Inf
};
/// `flip` (1 bit): every product changes its sign. `drop_inf`: products with Inf are zero; else
/// they mean nothing, as those with NaN.
MultiProducts build_multi_products(Graph& graph, const formats::MultiSpec& spec, const Fx& mode,
                                   const Fx& a, const Fx& b, const Fx& flip, bool drop_inf,
                                   const Structure& structure, Technology technology);

/// The products of all lanes one by one, for an aligned accumulator; those with Inf are zero. A
/// mode of one term leaves a lane's second product zero.
BeatTerms build_multi_terms(Graph& graph, const formats::MultiSpec& spec, const Fx& mode,
                            const Fx& a, const Fx& b, const Structure& structure,
                            Technology technology);

/// mode_i, a_i, b_i in; sum_o, and nan_o where a mode has NaN or Inf, out. `framed`: with valid_i
/// and valid_o. With an accumulator framed as a dot unit is, whatever the arguments say, and
/// result_o out.
Graph build_multi_unit(const formats::MultiSpec& spec, bool framed, UnitFacts* facts,
                       const Structure& structure, Technology technology);

/// The two halves of a unit with an accumulator that takes sums, any but the aligned one. What a
/// beat is: mode_i, a_i, b_i in; sum_o, and of nan_o, plus_inf_o and minus_inf_o those that can be
/// 1, out.
Graph build_multi_beat(const formats::MultiSpec& spec, UnitFacts* facts, const Structure& structure,
                       Technology technology);
/// What becomes of it: the framing, sum_i and the flags in; valid_o and result_o out.
Graph build_multi_accumulator(const formats::MultiSpec& spec, UnitFacts* facts,
                              const Structure& structure, Technology technology);

/// mode_i, a_i, b_i, c_i in; result_o out. With a stochastic rounding `framed` and clocked,
/// whatever the arguments say: valid_i moves its random stream on.
Graph build_fused_unit(const formats::MultiSpec& spec, bool framed, UnitFacts* facts,
                       const Structure& structure, Technology technology);

}  // namespace blockdot::rtl_gen
