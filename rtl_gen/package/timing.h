// The timing diagram of a design, from the design itself: of a unit, its graph says what comes out
// of a beat and its schedule says when; of streams and arrays their latencies and their rules say.
#pragma once

#include <nlohmann/json.hpp>

#include "rtl_gen/design.h"

namespace blockdot::rtl_gen {

/// WaveJSON of a short run that shows the latency and the interval. Every port but the reset has a
/// row under its own name; outputs stand in the cycle in which they are seen, before that cycle's
/// clock edge.
///
///   dot     a result of two beats with a pause between, at once followed by one of one beat
///   units without `first_i`   a beat, a pause, two beats in a row
///   stream  the dot's beats; the receiver lets the first result wait for a cycle
///   array   one tile of up to two beats and two rows
nlohmann::json timing_diagram(const Design& design);

}  // namespace blockdot::rtl_gen
