// Beats: what a unit takes in one step, and how they are cut out of two quantised matrices. Shared
// by everything that drives a unit: the golden model, the SystemC machine and the co-simulation.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"

namespace blockdot::models {

/// One beat: `lanes` element codes of each side, the scales that all of a side share, and the
/// second level's codes where the side has one.
struct Beat {
  std::span<const std::uint32_t> a, b;             // lanes element codes each
  std::uint32_t a_scale = 0, b_scale = 0;          // scale codes; 0 without a scale
  std::span<const std::uint8_t> a_micro, b_micro;  // lanes / micro.block taus; empty without
  bool first = false;                              // of a result
  bool last = false;                               // of a result
  std::uint32_t a_outer = 0, b_outer = 0;          // outer scale codes; 0 without
  float a_mean = 0, b_mean = 0;                    // under :mean
  int count = 0;  // lanes that count, 1..lanes, where the spec needs it; else not read
};

/// The memory behind a Beat.
struct BeatBuffer {
  std::vector<std::uint32_t> a, b;
  std::uint32_t a_scale = 0, b_scale = 0;
  std::vector<std::uint8_t> a_micro, b_micro;
  std::uint32_t a_outer = 0, b_outer = 0;
  float a_mean = 0, b_mean = 0;
  int count = 0;

  Beat beat(bool first, bool last) const {
    return {a,    b,       a_scale, b_scale, a_micro, b_micro, first,
            last, a_outer, b_outer, a_mean,  b_mean,  count};
  }
};

/// ConfigError where the operands do not suit the spec or each other: formats, lengths, a length of
/// zero, or more products (with padding) than max_k.
void check_operands(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                    const formats::QuantizedMatrix& b);

/// Fills `buffer` with the beat `range` of the dot product of row `row` of `a` and row `col` of `b`
/// (column `col` of the product): codes from range.k on, in the lanes beyond range.count
/// the codes of zero (of +1 where a format has none: `count` tells).
void fill_beat(const formats::DotSpec& spec, const formats::QuantizedMatrix& a, std::int64_t row,
               const formats::QuantizedMatrix& b, std::int64_t col, const formats::BeatRange& range,
               BeatBuffer& buffer);

}  // namespace blockdot::models
