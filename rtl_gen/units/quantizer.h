// The quantiser: floats in, blocks of codes with their shared scales out, bit for bit what
// formats::quantize makes of them.
//
//   beats of values -> the block's largest magnitude -> shared scale -> every element rounded once
//
// A block (or tile) is one beat or several. NaN or Inf anywhere makes the scale NaN and the
// elements zero (the default of formats/quantize.h); elements saturate.
//
// A scale of a row or a tensor is given on a port, and a format may have none: then every value is
// encoded by itself, NaN and Inf as BlockSpecials::kPerElement has it.
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
  int lanes = 0;  // values a beat: divides a row of the block, or is a whole tile; 0: a row
  formats::LfsrSpec lfsr;  // with SR
};

/// Values a beat: spec.lanes, or a row of the block (its longest part of at most 1024), or 32 where
/// there is no block.
int lanes_of(const QuantizerSpec& spec);
/// Values of a row of the block, or of a beat where there is no block.
int row_of(const QuantizerSpec& spec);
/// Beats a block or tile, row after row.
int beats_of(const QuantizerSpec& spec);
/// Bits of the values that wait for their scale; 0 where a block is one beat.
int buffer_bits(const QuantizerSpec& spec);

/// ConfigError naming field, value and choices. Refused: elements beyond 16 bits, code-book
/// scales and means, block scales without NaN; pairs of scales, or random bits, for which binary64
/// quotients are not exact (formats/quantize.cc, divide); rule optimal; SR whose draws of a
/// beat share bits of the lfsr; lanes that do not divide a row; tiles beyond 2^17 bits of values.
void validate(const QuantizerSpec& spec);
/// "format=e4m3@e8m0/32 input=fp32 scale-rule=floor rounding=rne", " lanes=8" where a beat
/// is not a row of the block, " lfsr=fibonacci:32" where the register is not galois:32.
std::string to_text(const QuantizerSpec& spec);

/// Ports valid_i, x_i (value j at [j*w +: w]), with several beats a block first_i, with an outer
/// scale outer_i (its code), with a scale of a row or tensor scale_i, with SR seed_load_i and
/// seed_i; valid_o, elements_o (element j at [j*w +: w]), scale_o of a block, with several beats
/// first_o and last_o, with a second level micro_o (group g at [g*d +: d]).
///
/// The beats of a block leave in consecutive cycles, the first of them `latency` cycles after the
/// last one came, each with the block's scale. SR draws once an element, in order, from one Lfsr
/// (formats/lfsr.h): a block whose elements are all zero by its scale (not finite, or scale 0)
/// draws nothing. An outer or given scale that is zero, NaN or Inf counts as a block that is not
/// finite.
Graph build_quantizer(const QuantizerSpec& spec);

/// The unit; kind and spec in the report are those of a quantiser.
Unit generate_quantizer(const QuantizerSpec& spec, const Arch& arch,
                        std::string_view top = "quantizer");

/// As a unit's report, schema "blockdot.quantizer/1", without accumulator, with lanes, beats and
/// buffer_bits.
nlohmann::json quantizer_json(const Unit& unit, const QuantizerSpec& spec);

}  // namespace blockdot::rtl_gen
