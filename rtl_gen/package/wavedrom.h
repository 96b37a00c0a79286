// Timing diagrams: WaveDrom's JSON drawn as SVG, for readers who have no WaveDrom at hand.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace blockdot::rtl_gen {

/// Draws a subset of WaveJSON: `signal` as a flat list of {name, wave, data}, `head.text`,
/// `head.tick` (number of the first cycle) and `config.hscale`. A wave has one character a cycle:
///
///   p      a period of the clock, rising edge first
///   0 1    a level
///   x      not known, or of no matter
///   = 2-9  a value, labelled by the next entry of `data`
///   .      as before
///
/// ConfigError where the JSON is something else: it names the signal and the character.
std::string draw_wavedrom(const nlohmann::json& diagram);

}  // namespace blockdot::rtl_gen
