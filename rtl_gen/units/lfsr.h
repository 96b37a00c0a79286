// The random stream of stochastic rounding (formats/lfsr.h) as a register.
#pragma once

#include <vector>

#include "formats/lfsr.h"
#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// The Verilog parameter that replaces the seed of the spec; its zero is read as 1.
inline constexpr std::string_view kSeedParameter = "SEED";

/// What that parameter means, where `bits` bits are drawn at once.
std::string seed_meaning(const formats::LfsrSpec& spec, int bits);

/// Declares the register, which starts at the spec's seed, and seed_load_i and seed_i where the
/// spec has the port; returns the draw of `bits` bits for this beat. The register moves on by
/// `bits` steps where `draw` is set. A seed loads after the beat that it comes with; a zero seed is
/// read as 1, and a state of zero is followed by 1.
Fx build_lfsr(Graph& graph, const formats::LfsrSpec& spec, int bits, const Fx& draw);

/// The same for `count` draws a beat, one after the other in the stream.
std::vector<Fx> build_draws(Graph& graph, const formats::LfsrSpec& spec, int count, int bits,
                            const Fx& draw);

}  // namespace blockdot::rtl_gen
