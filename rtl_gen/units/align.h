// Alignment: a product moved left by the sum of its exponents.
#pragma once

#include <string_view>
#include <vector>

#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// The sum of the shifts of both sides of a lane. `gates`: no adder, for LUTs that take all its
/// inputs.
Fx add_shifts(Graph& graph, const std::vector<Fx>& shifts, bool gates);

/// `word` shifted left by `shift`, where `fill` (1 bit) enters from below and stands above: with
/// word = value ^ fill this is (value << shift) ^ fill. Bits [drop, drop + width) of it.
Fx shift_filled(const Fx& word, const Fx& fill, const Fx& shift, int drop, int width,
                std::string_view name);

/// An unsigned word shifted left in two steps: by the low bits of the sum, so that the result
/// spans less than two steps of the high bits; then to the places that the high bits name, where
/// every bit has one or two sources. Bits [drop, drop + width).
Fx shift_split(const Fx& word, const Fx& shift, int drop, int width, std::string_view name);

}  // namespace blockdot::rtl_gen
