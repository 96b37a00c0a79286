// The quantiser: a block of floats a beat in, its codes, shared scale and micro exponents out, bit
// for bit what formats::quantize makes of it.
//
//   valid, x (block floats) -> largest magnitude -> shared exponent -> every element rounded once
//
// Scales are e8m0. NaN or Inf anywhere makes the scale NaN and everything else zero (the default
// of formats/quantize.h); elements saturate.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "formats/quantize.h"
#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

struct QuantizerSpec {
  formats::BlockFormat format;
  formats::ElementFormat input = formats::minifloat(8, 23);  // fp32 or bf16
  formats::ScaleRule rule = formats::ScaleRule::kFloor;
  formats::Rounding rounding;
  formats::LfsrSpec lfsr;  // with SR
};

/// ConfigError naming field, value and choices: scales other than e8m0, tiles, code books, blocks
/// beyond 1024, inputs other than fp32 and bf16, rules that need a search or a division
/// (three-quarters, optimal, shift, rceil-reciprocal), more random bits than the lfsr has.
void validate(const QuantizerSpec& spec);
/// "format=e4m3@e8m0/32 input=fp32 scale-rule=floor rounding=rne".
std::string to_text(const QuantizerSpec& spec);

/// Ports valid_i, x_i (value j at [j*w +: w]), with SR seed_load_i and seed_i; valid_o, elements_o
/// (element j at [j*w +: w]), scale_o, with a second level micro_o (group g at [g*d +: d]).
///
/// SR draws once an element, in order, from one Lfsr (formats/lfsr.h): a block that is not finite
/// draws nothing.
Graph build_quantizer(const QuantizerSpec& spec);

/// The unit; kind and spec in the report are those of a quantiser.
Unit generate_quantizer(const QuantizerSpec& spec, const Arch& arch,
                        std::string_view top = "quantizer");

/// As a unit's report, schema "blockdot.quantizer/1", without accumulator.
nlohmann::json quantizer_json(const Unit& unit);

}  // namespace blockdot::rtl_gen
