// Timing constraints of a unit: SDC for ASIC flows and static timing, XDC for Vivado.
#pragma once

#include <string>

#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

/// The period that the constraints ask for, ns: the unit's clock, or for a combinational unit its
/// estimated path, rounded up to 0.1 ns.
double constrained_ns(const UnitReport& report);

enum class ConstraintsKind { kSdc, kXdc };

/// Only commands that both dialects share. A unit with a clock: the clock; input delays that leave
/// the estimated longest stage; output delays of half a period, as outputs are registers; no timing
/// of the reset. A unit without one: a longest delay from inputs to outputs.
std::string constraints(const UnitReport& report, ConstraintsKind kind);

}  // namespace blockdot::rtl_gen
