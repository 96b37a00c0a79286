// What units with an accumulator have in common around it: their framing and random stream, and the
// way from beat values to the code of a result.
#pragma once

#include <optional>
#include <variant>

#include "formats/dot_spec.h"
#include "rtl_gen/units/accumulate.h"
#include "rtl_gen/units/factor.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {

/// Declares valid_i, first_i and last_i.
Framing declare_framing(Graph& graph);

/// This beat ends a result.
Fx build_done(const Framing& framing);

/// The random bits of this beat's rounding, from a register that moves on where one is issued; zero
/// where nothing is drawn. `factor`: the result has one.
Fx build_random(Graph& graph, const formats::Accumulation& spec, bool factor,
                const Framing& framing, const Fx& done);

/// Accumulates, rounds and encodes: outputs valid_o, which is `done`, and result_o. The beat is of
/// terms where the accumulator is aligned, else a value. Notes the accumulator in `facts`.
void build_result(Graph& graph, const formats::Accumulation& spec,
                  const std::variant<BeatValue, BeatTerms>& beat, const Framing& framing,
                  const Fx& done, const Fx& random, const std::optional<ResultFactor>& factor,
                  const Structure& structure, UnitFacts& facts);

}  // namespace blockdot::rtl_gen
