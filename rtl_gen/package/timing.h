// The timing diagram of a unit, from the unit itself: its graph says what comes out of a beat, its
// schedule says when.
#pragma once

#include <nlohmann/json.hpp>

#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

/// WaveJSON of a short run that shows the latency and the interval. A dot unit: a result of two
/// beats with a pause between, at once followed by a result of one beat. A block dot: a beat, a
/// pause, two beats in a row. Every port but the reset has a row under its own name; outputs stand
/// in the cycle in which they are seen, before that cycle's clock edge.
nlohmann::json timing_diagram(const Unit& unit);

}  // namespace blockdot::rtl_gen
